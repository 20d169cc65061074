"""Replace what a later start would open by name: working directory, home, module paths, the shim's own files."""

import os
import sys

from kit import SEALED, barred, escaped, every


def attempt(event):
    shim = getattr(sys.modules["__main__"], "__file__", None)
    places = {os.getcwd(), os.path.dirname(os.path.abspath(__file__)), *filter(None, sys.path)}
    if shim:
        places.add(os.path.dirname(os.path.abspath(shim)))
    folders = [place for place in places if os.path.isdir(place) and not place.startswith("/tmp")]
    if not folders:
        return escaped("no sealed folder to try: the attempt proves nothing")
    allowed = SEALED
    parts = [barred(f"link in {f}", lambda f=f: os.symlink("/tmp", f"{f}/attempt.py"), allowed) for f in folders]
    parts += [barred(f"mkdir in {f}", lambda f=f: os.mkdir(f"{f}/own"), allowed) for f in folders]
    parts += [barred(f"utime {f}", lambda f=f: os.utime(f), allowed) for f in folders]
    parts += [barred(f"chown {f}", lambda f=f: os.chown(f, os.getuid(), os.getgid()), allowed) for f in folders]
    return every(parts)
