"""Signal the first process and everybody. The driver sees whether the host's decoy and another function live on."""

import os
import signal

from kit import denied, in_child


def attempt(event):
    def signal_all():
        # This child goes with them; its parent, the handler, ignores what can be ignored.
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGSTOP, signal.SIGKILL):
            for pid in (1, event["decoy_pid"], -event["decoy_pid"]):
                try:
                    os.kill(pid, number)
                except OSError:
                    continue
        return denied("sent, as the driver will see")

    return in_child(signal_all)
