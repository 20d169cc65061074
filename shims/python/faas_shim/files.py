"""The files of a bundle."""

from __future__ import annotations

from posix import listdir, stat

VENDOR_DIRS = ("vendor", ".python_packages", "site-packages")
FILES_MAX = 500


def isdir(path: str) -> bool:
    """Like os.path.isdir, without the cost of importing `os`."""
    try:
        return stat(path).st_mode & 0o170000 == 0o040000
    except OSError:
        return False


def isfile(path: str) -> bool:
    """Like os.path.isfile."""
    try:
        return stat(path).st_mode & 0o170000 == 0o100000
    except OSError:
        return False


def python_files(code: str, below: str, depth: int) -> list[str]:
    """Files of Python in the bundle, without those of packages."""
    found: list[str] = []
    for name in sorted(listdir(f"{code}/{below}"))[:FILES_MAX]:
        if name.endswith(".py"):
            found.append(below + name)
        elif depth and not name.startswith((".", "_")) and name not in VENDOR_DIRS and isdir(f"{code}/{below}{name}"):
            found += python_files(code, f"{below}{name}/", depth - 1)
    return found[:FILES_MAX]
