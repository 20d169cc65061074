"""Ask the channel for the process at its other end, and use what it says."""

import errno
import fcntl
import os
import signal
import socket

from kit import denied, escaped, every, refused, syscall

SO_PEERPIDFD, SO_PEERCRED = 77, 17
# PIDFD_GET_*_NAMESPACE, one for each kind, and PIDFD_GET_INFO.
NAMESPACES = [0xFF00 | number for number in range(1, 11)]
REACHED = {errno.EPERM, errno.EACCES, errno.ESRCH, errno.EINVAL, errno.ENOTTY, errno.EBADF, errno.EREMOTE}


def attempt(event):
    channel = socket.socket(fileno=os.dup(3))
    pid = int.from_bytes(channel.getsockopt(socket.SOL_SOCKET, SO_PEERCRED, 12)[:4], "little")
    if pid:
        return escaped(f"the peer has the number {pid} here")
    try:
        peer = int.from_bytes(channel.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD, 4), "little")
    except OSError as error:
        return denied(f"no descriptor of the peer: {error}")
    parts = [
        refused("pidfd_getfd", syscall(438, peer, 0, 0)),
        refused("setns", syscall(308, peer, 0x0002_0000)),
        refused("process_madvise", syscall(440, peer, 0, 0, 0, 0)),
        refused("pidfd_send_signal", syscall(424, peer, signal.SIGCONT, 0, 0), REACHED),
    ]
    for request in NAMESPACES:
        try:
            parts.append(escaped(f"pidfd ioctl {request:#x}: {fcntl.ioctl(peer, request, 0)}"))
        except OSError as error:
            parts.append(denied(f"ioctl: {error.strerror}") if error.errno in REACHED else escaped(str(error)))
    with open(f"/proc/self/fdinfo/{peer}") as text:
        seen = [line for line in text if line.startswith(("Pid", "NSpid"))]
    if any(int(word) > 0 for line in seen for word in line.split()[1:]):
        return escaped(f"the descriptor tells {seen}")
    return every(parts)
