"""Swap the root for a directory of one's own."""

from kit import in_child, own_folder, refused, syscall


def attempt(event):
    here = own_folder()
    return in_child(lambda: refused("pivot_root", syscall(155, here, here)))
