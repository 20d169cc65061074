"""Become root in a namespace of one's own."""

from kit import CLONE_NEWNS, CLONE_NEWUSER, every, in_child, refused, syscall

CONTROL = "root"
KINDS = {
    "user": CLONE_NEWUSER,
    "mount": CLONE_NEWNS,
    "net": 0x4000_0000,
    "pid": 0x2000_0000,
    "user+mount": CLONE_NEWUSER | CLONE_NEWNS,
}


def attempt(event):
    return every(
        in_child(lambda name=name, flags=flags: refused(f"unshare {name}", syscall(272, flags)))
        for name, flags in KINDS.items()
    )
