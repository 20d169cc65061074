"""Load code into the kernel."""

import ctypes

from kit import every, in_child, refused, syscall


def attempt(event):
    empty = ctypes.c_char_p(b"")
    return every(
        [
            in_child(lambda: refused("init_module", syscall(175, empty, 0, empty))),
            in_child(lambda: refused("finit_module", syscall(313, -1, empty, 0))),
            in_child(lambda: refused("delete_module", syscall(176, ctypes.c_char_p(b"no_such_module"), 0))),
        ]
    )
