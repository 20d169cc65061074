"""Make a device node for the disk and for memory."""

import os
import stat

from kit import REFUSED, barred, every

CONTROL = "root"


def attempt(event):
    def make(kind, major, minor):
        path = f"/tmp/node-{os.getpid()}-{major}-{minor}"
        os.mknod(path, kind | 0o600, os.makedev(major, minor))
        os.unlink(path)
        return path

    return every(
        [
            barred("block 8:0", lambda: make(stat.S_IFBLK, 8, 0), REFUSED),
            barred("char 1:1", lambda: make(stat.S_IFCHR, 1, 1), REFUSED),
        ]
    )
