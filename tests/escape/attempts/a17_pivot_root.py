"""Swap the root for a directory of one's own."""

import ctypes

from kit import in_child, refused, syscall


def attempt(event):
    here = ctypes.c_char_p(b"/tmp")
    return in_child(lambda: refused("pivot_root", syscall(155, here, here)))
