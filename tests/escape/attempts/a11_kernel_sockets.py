"""Open socket families that talk to the kernel or the hypervisor and ignore network namespaces or widen the attack surface."""

import socket

from kit import NO_SUCH_SOCKET, barred, every

CONTROL = "any"
FAMILIES = {
    "netlink": 16,
    "vsock": 40,
    "alg": 38,
    "key": 15,
    "xdp": 44,
    "tipc": 30,
    "bluetooth": 31,
    "rds": 21,
    "can": 29,
}


def attempt(event):
    kinds = {"alg": socket.SOCK_SEQPACKET, "vsock": socket.SOCK_STREAM}
    return every(
        barred(name, lambda n=number, k=kinds.get(name, socket.SOCK_RAW): socket.socket(n, k), NO_SUCH_SOCKET)
        for name, number in FAMILIES.items()
    )
