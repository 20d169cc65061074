"""Take the memory that the server's user may lock."""

import ctypes
import mmap

from kit import denied, escaped, in_child, libc

CONTROL = "root"
FEW = 1 << 20


def attempt(event):
    def lock():
        room = mmap.mmap(-1, 4 * FEW)
        start = ctypes.addressof(ctypes.c_char.from_buffer(room))
        locked = 0
        while locked < 4 * FEW and libc.mlock(ctypes.c_void_p(start + locked), ctypes.c_size_t(4096)) == 0:
            locked += 4096
        return denied(f"{locked} bytes") if locked <= FEW else escaped(f"locked {locked} bytes")

    return in_child(lock)
