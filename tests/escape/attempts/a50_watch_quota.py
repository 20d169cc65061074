"""Take the inotify instances, which the kernel charges to the server's user for all sandboxes and the host together."""

from kit import every, in_child, refused, syscall

CONTROL = "any"


def attempt(event):
    return every(
        [
            in_child(lambda: refused("inotify_init1", syscall(294, 0))),
            in_child(lambda: refused("inotify_init", syscall(253))),
            in_child(lambda: refused("fanotify_init", syscall(300, 0x200, 0))),
        ]
    )
