"""Kill a process of the host by its number. The driver checks that it lives on."""

import errno
import os
import signal

from kit import barred

CONTROL = "any"


def attempt(event):
    return barred("kill", lambda: os.kill(event["decoy_pid"], signal.SIGCONT), {errno.ESRCH, errno.EPERM})
