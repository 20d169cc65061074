"""Connect to a Unix socket in the host's abstract name space."""

import errno
import socket

from kit import REFUSED, barred

CONTROL = "any"


def attempt(event):
    def connect():
        with socket.socket(socket.AF_UNIX) as tried:
            tried.connect("\0" + event["decoy_abstract"])
            return "connected"

    return barred("connect", connect, REFUSED | {errno.ECONNREFUSED})
