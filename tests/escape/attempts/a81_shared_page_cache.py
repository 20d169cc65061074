"""Throw sealed files out of the page cache, and see there who has read them since."""

import ctypes
import errno
import mmap
import os

from kit import denied, escaped, every, in_child, libc

CONTROL = "any"
RWF_NOWAIT = 8
MADV_MERGEABLE, MADV_COLD, MADV_PAGEOUT = 12, 20, 21


def attempt(event):
    place = os.path.join(os.path.dirname(os.__file__), "wave.py")
    if not os.path.exists(place):
        place = os.__file__

    def throw_out():
        fd = os.open(place, os.O_RDONLY)
        os.read(fd, 4096)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return look(fd)

    def look(fd):
        try:
            os.preadv(fd, [bytearray(64)], 0, RWF_NOWAIT)
        except OSError as error:
            how = errno.errorcode[error.errno]
            return escaped("it is not in memory any more") if error.errno == errno.EAGAIN else denied(how)
        return escaped("whether it is in memory can be seen")

    def advise(advice):
        room = mmap.mmap(-1, 1 << 16)
        start = ctypes.addressof(ctypes.c_char.from_buffer(room))
        worked = libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(1 << 16), advice) == 0
        return escaped(f"madvise {advice}") if worked else denied(errno.errorcode[ctypes.get_errno()])

    advices = (MADV_MERGEABLE, MADV_COLD, MADV_PAGEOUT)
    return every([in_child(throw_out), *(in_child(lambda a=a: advise(a)) for a in advices)])
