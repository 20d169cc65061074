"""The same by clone, also with bits above the 32 that a filter compares, and by clone3."""

import ctypes
import os
import signal

from kit import CLONE_NEWUSER, denied, escaped, every, in_child, refused, syscall

CONTROL = "root"


def clone(flags):
    value, code = syscall(56, flags | signal.SIGCHLD, 0, 0, 0, 0)
    if value == 0:
        os._exit(0)
    return value, code


def clone3():
    # struct clone_args: flags first, exit_signal fifth, 64 bytes in version 0.
    args = (ctypes.c_uint64 * 8)(CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    value, code = syscall(435, args, ctypes.sizeof(args))
    if value == 0:
        os._exit(0)
    return value, code


def high_bits():
    # The kernel ignores the upper half of clone's flags; a filter that compares 64 bits would miss the flag below.
    value, _ = clone(CLONE_NEWUSER | 1 << 32)
    return (
        escaped("clone with high bits made a user namespace") if value > 0 else denied("clone with high bits: refused")
    )


def attempt(event):
    return every(
        [
            in_child(lambda: refused("clone", clone(CLONE_NEWUSER))),
            in_child(high_bits),
            in_child(lambda: refused("clone3", clone3())),
        ]
    )
