"""Changes to modules of the standard library, made when the user's code imports them and not a millisecond earlier."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Hook:
    """Calls back once a module has been loaded."""

    def __init__(self, name: str, loaded: Callable[[object], None]) -> None:
        self.name = name
        self.loaded = loaded

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name != self.name:
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        from _frozen_importlib_external import PathFinder

        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: object) -> None:
                execute(module)
                self.loaded(module)

            spec.loader.exec_module = exec_module
        return spec


def after(name: str, loaded: Callable[[object], None]) -> None:
    """Runs `loaded` with the module, at once if it is there already."""
    module = sys.modules.get(name)
    if module is not None:
        loaded(module)
    else:
        sys.meta_path.insert(0, Hook(name, loaded))  # type: ignore[arg-type]
