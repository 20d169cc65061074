"""Read or fill the kernel's key rings, which no namespace divides."""

import ctypes

from kit import every, in_child, refused, syscall

CONTROL = "root"


def attempt(event):
    kind, name = ctypes.c_char_p(b"user"), ctypes.c_char_p(b"attempt")
    return every(
        [
            in_child(lambda: refused("add_key", syscall(248, kind, name, ctypes.c_char_p(b"x"), 1, -1))),
            in_child(lambda: refused("keyctl", syscall(250, 0, -3, 1))),
            in_child(lambda: refused("request_key", syscall(249, kind, name, 0, -1))),
        ]
    )
