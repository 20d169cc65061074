"""Grow pipes, whose pages the kernel counts for the server's user as a whole."""

import fcntl
import os

from kit import barred, in_child

CONTROL = "any"
F_SETPIPE_SZ = 1031


def attempt(event):
    def grow():
        read, _ = os.pipe()
        return barred("a larger pipe", lambda: fcntl.fcntl(read, F_SETPIPE_SZ, 1 << 20))

    return in_child(grow)
