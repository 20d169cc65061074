"""Type into the terminal that started the server (TIOCSTI), also with bits above the 32 that a filter compares."""

import ctypes
from errno import EIO

from kit import REFUSED, every, in_child, refused, syscall

TIOCSTI, TIOCLINUX = 0x5412, 0x541C


def attempt(event):
    key = ctypes.c_char_p(b"x")
    ways = {"TIOCSTI": TIOCSTI, "TIOCSTI with high bits": TIOCSTI | 1 << 32, "TIOCLINUX": TIOCLINUX}
    return every(
        in_child(lambda name=name, request=request: refused(name, syscall(16, 0, request, key), REFUSED | {EIO}))
        for name, request in ways.items()
    )
