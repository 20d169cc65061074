"""Take the timers and pending signals that the kernel counts for the server's user as a whole."""

import ctypes
import errno

from kit import denied, escaped, in_child, syscall

CONTROL = "any"
# Far below what the kernel gives a user by default, far above what a program needs.
FEW = 1000


def attempt(event):
    def hoard():
        made, number = 0, (ctypes.c_int * 1)()
        for _ in range(20 * FEW):
            value, code = syscall(222, 1, 0, number)
            if value == -1:
                how = f"{made} timers, then {errno.errorcode[code]}"
                return denied(how) if made <= FEW and code == errno.EAGAIN else escaped(how)
            made += 1
        return escaped(f"{made} timers and no end")

    return in_child(hoard)
