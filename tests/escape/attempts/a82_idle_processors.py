"""Ask for a processor's other half to stay idle, by a cookie of core scheduling."""

import ctypes

from kit import denied, escaped, in_child, libc

PR_SCHED_CORE, CREATE, PROCESS_GROUP = 62, 1, 2


def attempt(event):
    def cookie():
        worked = libc.prctl(PR_SCHED_CORE, CREATE, 0, PROCESS_GROUP, 0) == 0
        return escaped("a cookie was made") if worked else denied(f"errno {ctypes.get_errno()}")

    return in_child(cookie)
