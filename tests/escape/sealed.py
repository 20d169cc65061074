"""What the sealed layers hold, so that a changed one is seen whatever an attempt says of itself."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Sealed:
    """All files below a directory at one moment."""

    root: Path
    states: dict[Path, tuple[int, ...]]
    digests: dict[Path, bytes]

    @staticmethod
    def of(root: Path) -> Sealed:
        """Reads everything."""
        states = _states(root)
        return Sealed(root, states, {path: _digest(path) for path in states})

    def touched(self) -> list[str]:
        """What is gone or has another inode, size, mode or time. Cheap: asked after each attempt."""
        now = _states(self.root)
        return [str(path) for path, state in self.states.items() if now.get(path) != state]

    def changed(self) -> list[str]:
        """What has another content. Reads everything again: a page of the cache changes without a change of time."""
        return [str(path) for path, digest in self.digests.items() if _digest(path) != digest]


def _states(root: Path) -> dict[Path, tuple[int, ...]]:
    found = {}
    for folder, _, files in os.walk(root):
        for path in (Path(folder), *(Path(folder, file) for file in files)):
            state = path.lstat()
            # A directory changes when a deployment beside it is made; its files are what counts.
            own = (
                () if path.is_dir() and not path.is_symlink() else (state.st_size, state.st_mtime_ns, state.st_ctime_ns)
            )
            found[path] = (state.st_ino, state.st_mode, state.st_uid, *own)
    return found


def _digest(path: Path) -> bytes:
    if path.is_symlink():
        return os.fsencode(os.readlink(path))
    return hashlib.blake2b(path.read_bytes()).digest() if path.is_file() else b""
