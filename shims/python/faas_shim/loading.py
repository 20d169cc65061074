"""From an entrypoint such as `main:handler` to the object that it names."""

from __future__ import annotations

import sys
from posix import listdir

from .environment import export_path, extra_path
from .errors import LoadError
from .files import VENDOR_DIRS, isdir, isfile, python_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from .async_loop import AsyncLoop
    from .sync_loop import SyncLoop

# Where packages are that the server has installed.
PACKAGES = "/opt/dependencies"
# Where named layers are.
LAYERS = "/opt/layers"
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


def load(entrypoint: str, init: dict) -> object:
    """Imports the user's file and returns the named object."""
    code: str = init["code"]
    file, _, symbol = entrypoint.rpartition(":")
    path = file[:-3] if file.endswith(".py") else file
    if not _exists(path.replace(".", "/"), code):
        raise _no_file(path, symbol, code)
    _extend_path(code, init)
    module_name = path.replace("/", ".")
    __import__(module_name)
    target: object = sys.modules[module_name]
    for part in symbol.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            raise _no_symbol(target, part, path.replace(".", "/") + ".py", file) from None
    return target


def _extend_path(code: str, init: dict) -> None:
    before = [f"{code}/{name}" for name in VENDOR_DIRS if isdir(f"{code}/{name}")]
    before += extra_path(init["vars"], code)
    # Behind the standard library, as installed packages always are.
    behind = [PACKAGES] if isdir(PACKAGES) and listdir(PACKAGES) else []
    for name in init.get("layers", ()):
        # What AWS Lambda calls a layer has its packages in `python`.
        inner = f"{LAYERS}/{name}/python"
        behind.append(inner if isdir(inner) else f"{LAYERS}/{name}")
    sys.path[:0] = [code, *before]
    sys.path += behind
    export_path(before + behind)


def _exists(path: str, code: str) -> bool:
    return isfile(f"{code}/{path}.py") or isfile(f"{code}/{path}/__init__.py")


def _no_file(path: str, symbol: str, code: str) -> LoadError:
    from .hints import did_you_mean

    found = python_files(code, "", 3)
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
