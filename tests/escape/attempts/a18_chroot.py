"""The classic way out of a root: chroot below, then climb."""

import os

from kit import barred, in_child

CONTROL = "root"


def attempt(event):
    def climb():
        os.makedirs("/tmp/below", exist_ok=True)
        up = os.open("/", os.O_RDONLY)
        os.chroot("/tmp/below")
        os.fchdir(up)
        for _ in range(64):
            os.chdir("..")
        return os.listdir(".")

    return in_child(lambda: barred("chroot", climb))
