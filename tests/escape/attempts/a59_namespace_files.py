"""Climb from the own namespaces to their parents and owners by ioctl."""

import fcntl
import os
from errno import EINVAL, ENOTTY, EPERM, ESRCH

from kit import denied, escaped, every

NS_GET_USERNS, NS_GET_PARENT = 0xB701, 0xB702


def attempt(event):
    parts = []
    own = os.stat("/proc/self/ns/user").st_ino
    for kind in ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup"):
        fd = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)
        for name, request in (("parent", NS_GET_PARENT), ("owner", NS_GET_USERNS)):
            try:
                up = fcntl.ioctl(fd, request)
            except OSError as error:
                known = error.errno in (EPERM, ESRCH, EINVAL, ENOTTY)
                parts.append(denied(f"{name} of {kind}: {error.strerror}") if known else escaped(str(error)))
                continue
            # The owner of the others is the own user namespace; anything else is above it.
            inside = os.fstat(up).st_ino == own
            parts.append(denied(f"{name} of {kind} is the own") if inside else escaped(f"{name} of {kind} is outside"))
    return every(parts)
