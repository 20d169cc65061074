"""Take the processor from others: negative niceness, real time, and one's own limits raised."""

import os
import resource

from kit import REFUSED, barred, denied, escaped, every, in_child

CONTROL = "root"


def raise_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1))
    except (OSError, ValueError):
        return denied(f"open files stay at {hard}")
    return escaped("the hard limit was raised")


def attempt(event):
    return every(
        [
            in_child(lambda: barred("nice -20", lambda: os.setpriority(os.PRIO_PROCESS, 0, -20), REFUSED)),
            in_child(
                lambda: barred("real time", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)), REFUSED)
            ),
            in_child(raise_limit),
        ]
    )
