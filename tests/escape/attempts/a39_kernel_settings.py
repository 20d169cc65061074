"""Change kernel settings that reach the host: the core dump program, hot keys, binary formats."""

import os

from kit import SEALED, barred, every

CONTROL = "root"
FILES = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hostname",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sysrq-trigger",
    "/proc/sys/fs/binfmt_misc/register",
    "/sys/kernel/uevent_helper",
    "/proc/self/uid_map",
    "/proc/self/gid_map",
)


def attempt(event):
    # Opened, never written: the control run happens on a real host.
    return every(barred(file, lambda file=file: os.open(file, os.O_WRONLY), SEALED) for file in FILES)
