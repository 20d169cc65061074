"""Take a terminal: the server's, one of one's own, or its line disciplines, which load kernel code."""

import fcntl
import os
import pty

from kit import denied, escaped, every

TIOCSCTTY, TIOCSETD, TIOCGSID = 0x540E, 0x5423, 0x5429


def attempt(event):
    parts = []
    for path in ("/dev/tty", "/dev/ptmx", "/dev/pts/ptmx", "/dev/console", "/dev/tty0", "/dev/vcs", "/dev/pts/0"):
        try:
            parts.append(escaped(f"{path} opens: {os.open(path, os.O_RDWR | os.O_NOCTTY)}"))
        except OSError as error:
            parts.append(denied(f"{path}: {error.strerror}"))
    try:
        parts.append(escaped(f"a terminal of one's own: {pty.openpty()}"))
    except OSError as error:
        parts.append(denied(f"openpty: {error.strerror}"))
    for fd in range(4):
        if os.isatty(fd):
            parts.append(escaped(f"descriptor {fd} is a terminal"))
        for request in (TIOCSCTTY, TIOCSETD, TIOCGSID):
            try:
                fcntl.ioctl(fd, request, b"\x0d\0\0\0")
                parts.append(escaped(f"ioctl {request:#x} on {fd} worked"))
            except OSError as error:
                parts.append(denied(f"{error.strerror}"))
    return every(parts)
