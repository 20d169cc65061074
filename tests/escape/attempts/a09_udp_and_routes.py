"""Send a datagram to the host's loopback (the driver listens), and find a route to anywhere else."""

import errno
import socket

from kit import REFUSED, barred, denied, every

UNROUTED = REFUSED | {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EHOSTUNREACH}


def route_to(address):
    # Connecting a datagram socket only looks up the route: nothing is sent.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        tried.connect((address, 9))
        return tried.getsockname()


def attempt(event):
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
            tried.sendto(event["decoy_word"].encode(), ("127.0.0.1", event["decoy_udp"]))
    except OSError:
        pass
    sent = denied("a datagram was sent nowhere, as the driver will see")
    if event["has_network"]:
        # Its device is a way to everywhere; where that leads is tried by others.
        return sent
    return every([sent, barred("a route to the outside", lambda: route_to("192.0.2.1"), UNROUTED)])
