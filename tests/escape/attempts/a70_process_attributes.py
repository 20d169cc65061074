"""Change attributes of the process that only the privileged may: its program file, security bits, input class."""

import ctypes
import os

from kit import denied, escaped, every, in_child, libc, refused, syscall

CONTROL = "root"
PR_SET_SECUREBITS, PR_SET_IO_FLUSHER, PR_SET_MM, PR_SET_MM_EXE_FILE = 28, 57, 35, 13
REAL_TIME_CLASS = 1 << 13
CLOCK_REALTIME_ALARM = 8


def attempt(event):
    def control(name, *args):
        worked = libc.prctl(*(ctypes.c_ulong(arg) for arg in (*args, 0, 0, 0))) == 0
        return escaped(f"{name} worked") if worked else denied(f"{name}: errno {ctypes.get_errno()}")

    program = os.open("/proc/self/exe", os.O_RDONLY)
    parts = [
        in_child(lambda: control("security bits", PR_SET_SECUREBITS, 0)),
        in_child(lambda: control("the flusher's memory", PR_SET_IO_FLUSHER, 1)),
        in_child(lambda: control("another program file", PR_SET_MM, PR_SET_MM_EXE_FILE, program)),
        in_child(lambda: refused("real-time input and output", syscall(251, 1, 0, REAL_TIME_CLASS))),
        in_child(lambda: refused("a waking timer", syscall(283, CLOCK_REALTIME_ALARM, 0))),
    ]
    return every(parts)
