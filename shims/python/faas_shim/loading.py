"""From an entrypoint such as `main:handler` to the object that it names."""

from __future__ import annotations

import sys
from posix import listdir, stat

from .errors import LoadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from .async_loop import AsyncLoop
    from .sync_loop import SyncLoop

# Where packages are that the server has installed.
PACKAGES = "/opt/dependencies"
# Where named layers are.
LAYERS = "/opt/layers"
VENDOR_DIRS = ("vendor", ".python_packages", "site-packages")
FILES_SHOWN = 12


class Offer:
    """Finds the module `faas` where the user's code has none of that name: it is asked last."""

    def __init__(self) -> None:
        # What serves the calls, once it is there.
        self.loop: SyncLoop | AsyncLoop | None = None

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name != "faas":
            return None
        from _frozen_importlib import ModuleSpec

        return ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: object) -> None:
        """Any module will do."""

    def exec_module(self, module: ModuleType) -> None:
        from .publishing import Publisher, PublishError

        publisher = Publisher(self)
        module.__doc__ = "Events and messages of a run, sent in its name."
        names = ["publish", "publish_async", "send", "send_async"]
        for name in names:
            setattr(module, name, getattr(publisher, name))
        module.PublishError = PublishError  # type: ignore[attr-defined]
        module.__all__ = [*names, "PublishError"]  # type: ignore[attr-defined]


def load(entrypoint: str, code: str, layers: list[str]) -> object:
    """Imports the user's file and returns the named object."""
    file, _, symbol = entrypoint.rpartition(":")
    path = file[:-3] if file.endswith(".py") else file
    if not _exists(path.replace(".", "/"), code):
        raise _no_file(path, symbol, code)
    sys.path.insert(0, code)
    sys.path[1:1] = [f"{code}/{name}" for name in VENDOR_DIRS if isdir(f"{code}/{name}")]
    if isdir(PACKAGES) and listdir(PACKAGES):
        # Behind the standard library, as installed packages always are.
        sys.path.append(PACKAGES)
    for name in layers:
        # What AWS Lambda calls a layer has its packages in `python`.
        inner = f"{LAYERS}/{name}/python"
        sys.path.append(inner if isdir(inner) else f"{LAYERS}/{name}")
    module_name = path.replace("/", ".")
    __import__(module_name)
    target: object = sys.modules[module_name]
    for part in symbol.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            raise _no_symbol(target, part, path.replace(".", "/") + ".py", file) from None
    return target


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


def _exists(path: str, code: str) -> bool:
    return isfile(f"{code}/{path}.py") or isfile(f"{code}/{path}/__init__.py")


def _no_file(path: str, symbol: str, code: str) -> LoadError:
    from .hints import did_you_mean

    found = _files(code, "", 3)
    shown = path.replace(".", "/")
    meant = did_you_mean(shown, [name[:-3] for name in found])
    if meant:
        hint = f"did you mean `{meant}:{symbol}`?"
    elif found:
        more = ", ..." if len(found) > FILES_SHOWN else ""
        hint = f"files found: {', '.join(found[:FILES_SHOWN])}{more}"
    else:
        hint = "the bundle holds no .py file"
    return LoadError("EntrypointNotFound", f"there is no file `{shown}.py` in the bundle", hint)


def _files(code: str, below: str, depth: int) -> list[str]:
    found: list[str] = []
    for name in sorted(listdir(f"{code}/{below}"))[:500]:
        if name.endswith(".py"):
            found.append(below + name)
        elif depth and not name.startswith((".", "_")) and name not in VENDOR_DIRS and isdir(f"{code}/{below}{name}"):
            found += _files(code, f"{below}{name}/", depth - 1)
    return found[:500]


def _no_symbol(owner: object, name: str, path: str, file: str) -> LoadError:
    from .hints import did_you_mean

    own = getattr(owner, "__name__", None)
    names = [
        key
        for key, value in getattr(owner, "__dict__", {}).items()
        if not key.startswith("_") and callable(value) and getattr(value, "__module__", own) == own
    ] or [key for key, value in getattr(owner, "__dict__", {}).items() if not key.startswith("_") and callable(value)]
    meant = did_you_mean(name, names)
    if meant:
        hint = f"did you mean `{file}:{meant}`?"
    elif names:
        hint = f"callables found: {', '.join(names[:FILES_SHOWN])}"
    else:
        hint = f"define `def {name}(event, context)` in {path}"
    return LoadError("EntrypointNotFound", f"`{path}` has no `{name}`", hint, path)
