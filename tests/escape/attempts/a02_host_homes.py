"""List the home directories of the host."""

import os

from kit import denied, escaped

CONTROL = "root"


def attempt(event):
    for home in ("/root", "/home", "/var/lib", "/srv"):
        try:
            found = os.listdir(home)
        except OSError:
            continue
        if found:
            return escaped(f"{home} holds {found[:5]}")
    return denied("no home of the host is to be seen")
