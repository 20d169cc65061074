"""Variables of the user's code. They come after the interpreter's start, so what it reads at its start is done here."""

from __future__ import annotations

import posix
import sys

# Read once, before the first line of Python runs.
TOO_LATE = (
    "PYTHONASYNCIODEBUG",
    "PYTHONDEVMODE",
    "PYTHONHASHSEED",
    "PYTHONHOME",
    "PYTHONMALLOC",
    "PYTHONOPTIMIZE",
    "PYTHONTRACEMALLOC",
    "PYTHONUTF8",
)


def put(name: str, value: str) -> None:
    """Sets a variable, before `os` has made its copy as well."""
    loaded = sys.modules.get("os")
    if loaded is not None:
        loaded.environ[name] = value
    else:
        key, text = name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape")
        posix.environ[key] = text
        posix.putenv(key, text)


def take_back(name: str) -> None:
    """Undoes `put`."""
    loaded = sys.modules.get("os")
    if loaded is not None:
        del loaded.environ[name]
    else:
        del posix.environ[name.encode()]
        posix.unsetenv(name)


def apply(variables: dict[str, str]) -> None:
    """Sets the variables, before the user's import."""
    for name, value in variables.items():
        put(name, value)
    if "TZ" in variables:
        from time import tzset

        tzset()
    if variables.get("PYTHONWARNINGS"):
        sys.warnoptions += variables["PYTHONWARNINGS"].split(",")
        warnings = sys.modules.get("warnings")
        if warnings is not None:
            warnings._processoptions(sys.warnoptions)
    for name in TOO_LATE:
        if name in variables:
            print(f"{name} has no effect here: Python reads it when it starts, before vars are set", file=sys.stderr)


def extra_path(variables: dict[str, str], code: str) -> list[str]:
    """The directories of PYTHONPATH, from which relative ones are the function's own."""
    parts = [part for part in variables.get("PYTHONPATH", "").split(":") if part]
    return [part if part.startswith("/") else f"{code}/{part}" for part in parts]


def export_path(directories: list[str]) -> None:
    """Lets interpreters that the user's code starts find the packages too."""
    if directories:
        put("PYTHONPATH", ":".join(directories))
