"""Read the kernel's log."""

import ctypes

from kit import in_child, refused, syscall

CONTROL = "root"


def attempt(event):
    return in_child(lambda: refused("syslog", syscall(103, 3, ctypes.create_string_buffer(64), 64)))
