"""Leave through links: symbolic ones in /tmp, the magic ones of /proc, and file handles."""

import ctypes
import os

from kit import NOT_THERE, barred, every, in_child, refused, syscall


def attempt(event):
    parts = []
    for number, target in enumerate(
        ("/proc/1/root/etc/shadow", "/proc/1/cwd/etc/shadow", f"/proc/1/root{event['data']}/admin.key")
    ):
        link = f"/tmp/link-{os.getpid()}-{number}"
        os.symlink(target, link)
        parts.append(barred(f"through {target[:30]}", lambda link=link: open(link, "rb").read(), NOT_THERE))
        os.unlink(link)
    handle = (ctypes.c_uint32 * 8)(8, 1, 2, 0, 0, 0, 0, 0)
    parts.append(in_child(lambda: refused("open_by_handle_at", syscall(304, -100, handle, 0))))
    return every(parts)
