"""Read the server's data directory and the admin key in it, by its host path and through pid 1."""

import os

from kit import NOT_THERE, barred, every

CONTROL = "root"


def attempt(event):
    data = event["data"]
    ways = [data, f"/proc/1/root{data}", f"/proc/self/root{data}", f"/proc/1/cwd{data}"]
    parts = [barred(f"list {way}", lambda way=way: os.listdir(way), NOT_THERE) for way in ways[:1]]
    parts += [
        barred(f"read {way}/admin.key", lambda way=way: open(f"{way}/admin.key").read(), NOT_THERE) for way in ways
    ]
    return every(parts)
