"""Open raw and packet sockets to forge or overhear traffic."""

import socket

from kit import NO_SUCH_SOCKET, barred, every

CONTROL = "root"


def attempt(event):
    kinds = [
        ("raw ICMP", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        ("raw IP", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
        ("packet", socket.AF_PACKET, socket.SOCK_RAW, 0),
    ]
    return every(barred(name, lambda k=k: socket.socket(*k), NO_SUCH_SOCKET) for name, *k in kinds)
