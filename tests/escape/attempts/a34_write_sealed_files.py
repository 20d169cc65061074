"""Change the root, the code or the runtime that other instances share."""

import os
import sys
import sysconfig

from kit import SEALED, barred, escaped, every


def attempt(event):
    code = os.path.dirname(os.path.abspath(__file__))
    folders = ["/", "/etc", "/usr", "/lib", "/dev", code, sys.prefix, sysconfig.get_path("stdlib"), "/proc", "/sys"]
    parts = [
        barred(f"create in {f}", lambda f=f: os.open(f"{f}/attempt", os.O_CREAT | os.O_WRONLY), SEALED) for f in folders
    ]
    files = [os.path.abspath(__file__), os.path.realpath(sys.executable), os.__file__]
    parts += [barred(f"change {f}", lambda f=f: open(f, "r+b"), SEALED) for f in files]
    parts += [barred(f"chmod {f}", lambda f=f: os.chmod(f, 0o777), SEALED) for f in files[:1]]
    parts += [barred(f"unlink {f}", lambda f=f: os.rename(f, f + "~"), SEALED) for f in files[:1]]
    if not all(os.path.exists(f) for f in files):
        return escaped("a sealed file is gone")
    return every(parts)
