"""Find a process of the host in /proc."""

import os

from kit import denied, escaped

CONTROL = "any"


def attempt(event):
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    for pid in pids:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as opened:
                if event["decoy_word"].encode() in opened.read():
                    return escaped(f"process {pid} of the host is to be seen")
        except OSError:
            continue
    return denied(f"only {len(pids)} processes, none of the host's")
