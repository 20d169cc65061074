"""Hide what a call asks for behind bits that the kernel drops, where a filter may compare all 64."""

from kit import NO_SUCH_SOCKET, every, in_child, refused, syscall

HIGH = 1 << 32
CALLS = {
    "socket vsock": (41, 40 | HIGH, 1, 0),
    "socket netlink": (41, 16 | HIGH, 3, 0),
    "socket raw": (41, 2, 3 | HIGH, 1),
    "socket sctp": (41, 2, 1, 132 | HIGH),
    "socketpair tipc": (53, 30 | HIGH, 1, 0, 0),
    "personality": (135, 0x0040_0000 | HIGH),
    "ioctl TIOCLINUX": (16, 0, 0x541C | HIGH, 0),
    "unshare": (272, 0x1000_0000 | HIGH),
}


def attempt(event):
    return every(
        in_child(lambda name=name, call=call: refused(name, syscall(*call), NO_SUCH_SOCKET))
        for name, call in CALLS.items()
    )
