"""Change the device of the network: addresses, flags, size, queue, name, routes, neighbours; take the device itself."""

import fcntl
import os
import socket

from kit import NOT_THERE, REFUSED, barred, every

ENODEV = 19
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFMTU, SIOCSIFTXQLEN, SIOCSIFNAME = 0x8914, 0x8916, 0x8922, 0x8943, 0x8923
SIOCADDRT, SIOCDELRT, SIOCSARP, SIOCSIFHWADDR = 0x890B, 0x890C, 0x8955, 0x8924
TUNSETIFF = 0x400454CA
# Without a network there is no such device.
CLOSED = REFUSED | {ENODEV}


def ask(request):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        place = bytearray(b"eth0".ljust(16, b"\0") + bytes(112))
        place[16] = socket.AF_INET
        return fcntl.ioctl(opened, request, place)


def take():
    opened = os.open("/dev/net/tun", os.O_RDWR)
    return fcntl.ioctl(opened, TUNSETIFF, b"eth0".ljust(16, b"\0") + bytes(24))


def attempt(event):
    requests = {
        "a flag": SIOCSIFFLAGS,
        "an address": SIOCSIFADDR,
        "the size": SIOCSIFMTU,
        "the queue": SIOCSIFTXQLEN,
        "the name": SIOCSIFNAME,
        "a route": SIOCADDRT,
        "no route": SIOCDELRT,
        "a neighbour": SIOCSARP,
        "the hardware": SIOCSIFHWADDR,
    }
    parts = [barred(what, lambda request=request: ask(request), CLOSED) for what, request in requests.items()]
    return every([*parts, barred("the device", take, NOT_THERE)])
