"""Load a program into the kernel."""

import ctypes

from kit import in_child, refused, syscall

CONTROL = "root"


def attempt(event):
    # BPF_MAP_CREATE of a one-element array.
    attributes = ctypes.create_string_buffer(120)
    ctypes.memmove(attributes, (ctypes.c_uint32 * 4)(2, 4, 4, 1), 16)
    return in_child(lambda: refused("bpf", syscall(321, 0, attributes, 120)))
