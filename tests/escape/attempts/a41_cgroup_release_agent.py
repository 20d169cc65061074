"""Mount a cgroup tree and have the host run a program when a group empties; loosen the own limits."""

import ctypes
import os

from kit import denied, escaped, every, in_child, refused, syscall


def writable():
    for folder, _, files in os.walk("/sys/fs/cgroup"):
        for file in files:
            if file in ("release_agent", "cgroup.procs", "memory.max", "memory.limit_in_bytes", "pids.max"):
                path = os.path.join(folder, file)
                if os.access(path, os.W_OK):
                    return escaped(f"{path} may be written")
    return denied("no cgroup file may be written")


def attempt(event):
    kinds = (ctypes.c_char_p(b"cgroup"), ctypes.c_char_p(b"cgroup2"))
    mounts = [
        in_child(
            lambda kind=kind: refused(
                "mount " + kind.value.decode(), syscall(165, kind, ctypes.c_char_p(b"/tmp"), kind, 0, 0)
            )
        )
        for kind in kinds
    ]
    return every([*mounts, writable()])
