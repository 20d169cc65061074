"""Use a program that starts as somebody else: one that lies there, or one of one's own."""

import os
import stat

from kit import denied, escaped


def attempt(event):
    for folder, _, files in os.walk("/"):
        if folder.startswith(("/proc", "/sys")):
            continue
        for file in files:
            path = os.path.join(folder, file)
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                continue
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                return escaped(f"{path} is setuid")
    if not os.statvfs("/tmp").f_flag & os.ST_NOSUID:
        return escaped("/tmp honours setuid bits")
    with open("/proc/self/status") as status:
        if "NoNewPrivs:\t1" not in status.read():
            return escaped("no_new_privs is not set")
    return denied("no setuid program, /tmp is nosuid, no_new_privs is set")
