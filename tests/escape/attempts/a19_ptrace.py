"""Trace the parent and pid 1."""

import os

from kit import every, in_child, refused, syscall

CONTROL = "root"
ATTACH, SEIZE, DETACH = 16, 0x4206, 17


def attempt(event):
    def trace(request, pid):
        result = syscall(101, request, pid, 0, 0)
        if result[0] == 0:
            os.waitpid(pid, 0x4000_0000) if request == ATTACH else None
            syscall(101, DETACH, pid, 0, 0)
        return result

    return every(
        [
            in_child(lambda: refused("ptrace the parent", trace(SEIZE, os.getppid()))),
            in_child(lambda: refused("ptrace pid 1", trace(SEIZE, 1))),
        ]
    )
