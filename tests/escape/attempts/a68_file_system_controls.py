"""Freeze, trim or relabel the host's file system through a sealed file on it."""

import errno
import fcntl
import os
import sys

from kit import SEALED, barred, every, in_child

NOT_OFFERED = SEALED | {errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF, errno.EXDEV}
CONTROLS = {
    "freeze": 0xC0045877,
    "thaw": 0xC0045878,
    "trim": 0xC0185879,
    "set flags": 0x40086602,
    "set extended flags": 0x401C5820,
    "clone a file": 0x40049409,
    "set the generation": 0x40087602,
    "enable verity": 0x40806685,
    "set an encryption policy": 0x800C6613,
}


def attempt(event):
    places = (os.path.dirname(os.path.abspath(__file__)), os.__file__, os.path.realpath(sys.executable), "/tmp")

    def control(place, request):
        fd = os.open(place, os.O_RDONLY)
        return fcntl.ioctl(fd, request, bytes(128))

    return every(
        in_child(lambda n=n, p=p, r=r: barred(f"{n} {p}", lambda: control(p, r), NOT_OFFERED))
        for p in places[:3]
        for n, r in CONTROLS.items()
    )
