"""Carry a sealed or outside file into one's own tree by hard link or rename, and make nameless files outside /tmp."""

import ctypes
import os
from errno import EISDIR, EOPNOTSUPP, EXDEV

from kit import SEALED, barred, every, in_child, refused, syscall

APART = SEALED | {EXDEV}
AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, O_TMPFILE = 0x1000, 0x400, 0o20200000


def attempt(event):
    target = f"/tmp/hard-{os.getpid()}"
    files = [os.path.abspath(__file__), os.__file__, "/etc/passwd", "/dev/null", "/proc/self/exe"]
    parts = [barred(f"link {file}", lambda file=file: os.link(file, target), APART) for file in files]
    parts += [barred(f"rename {file}", lambda file=file: os.rename(file, target), APART) for file in files[:3]]
    fd = os.open(files[1], os.O_RDONLY)
    here, empty = ctypes.c_char_p(target.encode()), ctypes.c_char_p(b"")
    magic = ctypes.c_char_p(f"/proc/self/fd/{fd}".encode())
    parts += [
        in_child(lambda: refused("linkat by descriptor", syscall(265, fd, empty, -100, here, AT_EMPTY_PATH), APART)),
        in_child(
            lambda: refused("linkat by magic link", syscall(265, -100, magic, -100, here, AT_SYMLINK_FOLLOW), APART)
        ),
    ]
    folders = ("/", "/etc", os.path.dirname(files[0]), "/dev", "/proc")
    allowed = SEALED | {EOPNOTSUPP, EISDIR}
    parts += [
        barred(f"nameless in {f}", lambda f=f: os.open(f, O_TMPFILE | os.O_WRONLY, 0o600), allowed) for f in folders
    ]
    return every(parts)
