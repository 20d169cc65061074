"""Connect to the host by any of its addresses and by every form of the shut ones, to metadata and to neighbours."""

import errno
import socket

from kit import REFUSED, barred, every

UNREACHED = REFUSED | {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL}
# What is the sandbox itself refuses by itself.
OWN = UNREACHED | {errno.ECONNREFUSED}

SHUT = [
    "169.254.169.254",
    "10.0.0.1",
    "172.17.0.1",
    "192.168.0.1",
    "192.0.0.8",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "fe80::1",
    "fd00::1",
    "fd00:ec2::254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::1",
    "::ffff:169.254.169.254",
    "::a9fe:a9fe",
]
SELF = ["192.0.0.2", "192.0.0.1", "::1", "::ffff:127.0.0.1", "127.8.9.10"]


def connect(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.settimeout(5)
        tried.connect((host, port))
        return host


def attempt(event):
    port = event["decoy_tcp"]
    shut = [(host, UNREACHED) for host in SHUT + event["host_addresses"]]
    tried = shut + [(host, OWN) for host in SELF]
    return every(
        barred(f"connect [{host}]:{port}", lambda host=host: connect(host, port), wanted) for host, wanted in tried
    )
