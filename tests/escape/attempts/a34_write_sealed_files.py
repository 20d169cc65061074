"""Change the root, the code or the runtime that other instances share."""

import errno
import json
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
    files = [os.path.abspath(__file__), os.__file__, json.__file__, _library()]
    parts += [barred(f"change {f}", lambda f=f: open(f, "r+b"), SEALED) for f in files]
    # The kernel may refuse a program that runs before it looks at the file system.
    program = os.path.realpath(sys.executable)
    parts += [barred(f"change {program}", lambda: open(program, "r+b"), SEALED | {errno.ETXTBSY})]
    parts += [barred(f"chmod {f}", lambda f=f: os.chmod(f, 0o777), SEALED) for f in files[:1]]
    parts += [barred(f"unlink {f}", lambda f=f: os.rename(f, f + "~"), SEALED) for f in files[:1]]
    if not all(os.path.exists(f) for f in [*files, program]):
        return escaped("a sealed file is gone")
    return every(parts)


def _library():
    """A library of the runtime: mapped, but no running program."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        paths = [line.split(maxsplit=5)[-1].strip() for line in maps]
    return next(path for path in paths if path.startswith("/") and ".so" in path)
