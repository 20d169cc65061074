"""Hold the kernel at a page fault, the building block of many exploits."""

from kit import in_child, refused, syscall

CONTROL = "root"


def attempt(event):
    return in_child(lambda: refused("userfaultfd", syscall(323, 0)))
