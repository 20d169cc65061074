"""Open a device that reaches memory, disks, the hypervisor or other file systems."""

import os

from kit import NOT_THERE, barred, escaped, every

HARMLESS = {"console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm"}
HARMLESS |= {"stderr", "stdin", "stdout", "tty", "urandom", "zero"}
REACHING = (
    "mem",
    "kmem",
    "port",
    "sda",
    "vda",
    "nvme0n1",
    "kmsg",
    "fuse",
    "kvm",
    "net/tun",
    "loop-control",
    "mapper/control",
)


def attempt(event):
    strange = set(os.listdir("/dev")) - HARMLESS
    if strange:
        return escaped(f"/dev holds {sorted(strange)[:8]}")
    return every(barred(f"/dev/{d}", lambda d=d: os.open(f"/dev/{d}", os.O_RDONLY), NOT_THERE) for d in REACHING)
