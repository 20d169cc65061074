"""Functions written to a directory, ready to deploy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_function(
    parent: Path, name: str, code: str | dict[str, str], *, scaling: dict[str, int] | None = None, **settings: Any
) -> Path:
    """Writes `main.py` (or the files given) and a `faas.toml` below `parent` and returns the directory."""
    folder = parent / name
    folder.mkdir(parents=True, exist_ok=True)
    files = {"main.py": code} if isinstance(code, str) else code
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    lines = [f"{key} = {json.dumps(value)}" for key, value in ({"name": name, "runtime": "python"} | settings).items()]
    if scaling:
        lines.append("[scaling]")
        lines += [f"{key} = {value}" for key, value in scaling.items()]
    (folder / "faas.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
