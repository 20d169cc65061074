"""Share a namespace with the host."""

import os

from kit import denied, escaped

CONTROL = "any"


def attempt(event):
    shared = [kind for kind, link in event["namespaces"].items() if os.readlink(f"/proc/self/ns/{kind}") == link]
    return escaped(f"shares {shared}") if shared else denied("shares none")
