"""Make whoever closes a connection last wait for as long as the function likes."""

import socket
import struct

from kit import denied, escaped, every

CONTROL = "any"
HOURS = struct.pack("ii", 1, 30_000)


def attempt(event):
    def linger(family, kind):
        with socket.socket(family, kind) as tried:
            try:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HOURS)
            except OSError as error:
                return denied(str(error))
            lingers, seconds = struct.unpack("ii", tried.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
            # Programs that ask for it go on; nothing lingers.
            return escaped(f"lingers for {seconds} s") if lingers else denied("asked for, and without effect")

    return every(
        linger(family, kind)
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    )
