"""Connect to the server's own port and to a listener on the host's loopback."""

import errno
import socket

from kit import REFUSED, barred, every

CONTROL = "any"
UNREACHED = REFUSED | {
    errno.ECONNREFUSED,
    errno.ENETUNREACH,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
    errno.EHOSTUNREACH,
}


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.settimeout(3)
        tried.connect(address)
        return address


def attempt(event):
    ports = (event["port"], event["decoy_tcp"])
    return every(
        barred(
            f"connect {host}:{port}",
            lambda family=family, host=host, port=port: connect(family, (host, port)),
            UNREACHED,
        )
        for port in ports
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"))
    )
