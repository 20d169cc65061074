"""Open socket families that reach the kernel or the hypervisor: network namespaces do not stop all of them."""

import socket

from kit import NO_SUCH_SOCKET, barred, every

CONTROL = "any"
FAMILIES = {
    "netlink": (16, socket.SOCK_RAW),
    "vsock": (40, socket.SOCK_STREAM),
    "alg": (38, socket.SOCK_SEQPACKET),
    "key": (15, socket.SOCK_RAW),
    "xdp": (44, socket.SOCK_RAW),
    "tipc": (30, socket.SOCK_SEQPACKET),
    "bluetooth": (31, socket.SOCK_RAW),
    "rds": (21, socket.SOCK_SEQPACKET),
    "can": (29, socket.SOCK_RAW),
}


def attempt(event):
    return every(
        barred(name, lambda kind=kind: socket.socket(*kind), NO_SUCH_SOCKET) for name, kind in FAMILIES.items()
    )
