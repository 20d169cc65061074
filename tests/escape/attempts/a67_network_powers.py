"""Use the powers that an own network namespace tempts to: addresses, firewalls, marks, its owner's files."""

import errno
import fcntl
import socket

from kit import REFUSED, barred, every, in_child

SOL_IP, SOL_IPV6, SO_SET_REPLACE = 0, 41, 64
SIOCSIFFLAGS, SIOCADDRT, SIOCGSKNS, SIOCBRADDBR = 0x8914, 0x890B, 0x894C, 0x89A0
CLOSED = REFUSED | {errno.ENOPROTOOPT, errno.ENOTTY, errno.ENODEV, errno.EOPNOTSUPP, errno.EINVAL}


def attempt(event):
    def option(level, name, value):
        with socket.socket(socket.AF_INET6 if level == SOL_IPV6 else socket.AF_INET, socket.SOCK_DGRAM) as opened:
            opened.setsockopt(level, name, value)
            return value

    def ask(request, argument):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            return fcntl.ioctl(opened, request, argument)

    options = {
        "mark": (socket.SOL_SOCKET, 36, 7),
        "forced buffer": (socket.SOL_SOCKET, 32, 1 << 24),
        "debug": (socket.SOL_SOCKET, 1, 1),
        "transparent": (SOL_IP, 19, 1),
        "replace the firewall": (SOL_IP, SO_SET_REPLACE, bytes(96)),
        "replace the firewall, version 6": (SOL_IPV6, SO_SET_REPLACE, bytes(96)),
    }
    requests = {
        "the namespace's file": (SIOCGSKNS, 0),
        "a route": (SIOCADDRT, bytes(120)),
        "a flag": (SIOCSIFFLAGS, b"lo".ljust(16, b"\0") + bytes(24)),
        "a bridge": (SIOCBRADDBR, b"br-attempt".ljust(16, b"\0")),
    }
    parts = [in_child(lambda n=n, o=o: barred(n, lambda: option(*o), CLOSED)) for n, o in options.items()]
    parts += [in_child(lambda n=n, r=r: barred(n, lambda: ask(*r), CLOSED)) for n, r in requests.items()]
    return every(parts)
