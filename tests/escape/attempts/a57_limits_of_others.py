"""Change limits, affinity and priority of a process of the host."""

import ctypes
import errno
import os

from kit import REFUSED, barred, every, in_child, refused, syscall

CONTROL = "root"
GONE = REFUSED | {errno.ESRCH}
NOFILE = 7


def attempt(event):
    pid, limit = event["decoy_pid"], (ctypes.c_uint64 * 2)(64, 64)
    return every(
        [
            in_child(lambda: refused("prlimit", syscall(302, pid, NOFILE, limit, 0), GONE)),
            in_child(lambda: barred("affinity", lambda: os.sched_setaffinity(pid, {0}), GONE)),
            in_child(lambda: barred("nice", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19), GONE)),
        ]
    )
