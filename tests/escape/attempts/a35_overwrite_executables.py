"""Overwrite the program behind a process, the server's own among them (CVE-2019-5736)."""

import os

from kit import SEALED, barred, every


def attempt(event):
    from errno import ETXTBSY

    ways = ["/proc/self/exe", "/proc/1/exe", f"/proc/{os.getppid()}/exe"]
    # A busy text file is also on a read-only mount; both mean that the file stays as it is.
    return every(barred(f"open {way}", lambda way=way: os.open(way, os.O_WRONLY), SEALED | {ETXTBSY}) for way in ways)
