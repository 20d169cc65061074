"""Hands a directory over: regular files only, each path followed by its content."""

from __future__ import annotations

import json
import os
from pathlib import Path

from link import CONTENT, FILE, LOG, Link

CHUNK_LEN = 256 << 10


async def send_tree(link: Link, root: Path) -> None:
    """Sends every regular file below a directory. Links and devices are left out, and counted."""
    left_out = 0
    todo = [""]
    while todo:
        below = todo.pop()
        for entry in sorted(os.scandir(root / below), key=lambda entry: entry.name):
            path = f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                todo.append(f"{path}/")
            elif entry.is_file(follow_symlinks=False):
                await _send_file(link, root, path)
            else:
                left_out += 1
    if left_out:
        await link.send(LOG, 0, f"left out {left_out} symbolic links and special files".encode())


async def _send_file(link: Link, root: Path, path: str) -> None:
    with open(root / path, "rb") as file:
        status = os.fstat(file.fileno())
        head = {"path": path, "size": status.st_size, "executable": bool(status.st_mode & 0o111)}
        await link.send(FILE, 0, json.dumps(head).encode())
        left = status.st_size
        while left:
            chunk = file.read(min(left, CHUNK_LEN))
            if not chunk:
                raise OSError(f"{path} became shorter while it was read")
            await link.send(CONTENT, 0, chunk)
            left -= len(chunk)
