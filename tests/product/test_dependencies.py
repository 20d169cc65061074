"""Packages that a function asks for: installed in a sandbox, kept as a layer, shared, and confined throughout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Server, write_function
from harness.index import PythonIndex, wheel

HANDLER = "import greeting\n\n\ndef handler(event, context):\n    return {'said': greeting.hello()}\n"


@pytest.fixture(scope="module")
def index() -> Iterator[PythonIndex]:
    """An index with a package that needs another."""
    with PythonIndex() as index:
        code = "from words import WORD\n\n\ndef hello():\n    return WORD + ' 1'\n"
        index.add(wheel("greeting", "1.0", {"greeting/__init__.py": code}, requires=["words"]))
        index.add(wheel("words", "2.1", {"words.py": "WORD = 'hello'\n"}))
        yield index


@pytest.fixture(scope="module")
def house(index: PythonIndex) -> Iterator[Server]:
    """A server whose builds use that index."""
    with Server(env={"FAAS_BUILD_PYTHON_INDEX": index.url}) as server:
        yield server


def bring(folder: Path, name: str, requirements: str, code: str = HANDLER, **settings: Any) -> Path:
    """A function with a `requirements.txt`."""
    return write_function(folder, name, {"main.py": code, "requirements.txt": requirements}, **settings)


def test_packages_are_installed_and_shared(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    deployed = house.deploy(bring(tmp_path, "first", "greeting==1.0\n"))
    assert house.api.invoke("first").expect(200).json() == {"said": "hello 1"}
    packages = deployed["dependencies"]
    assert packages["packages"] == 2 and packages["size"] > 0 and not packages["reused"]
    asked = len(index.requests)
    assert asked >= 4
    again = house.deploy(bring(tmp_path, "second", "# the same\ngreeting==1.0  # indeed\n"))["dependencies"]
    assert again["reused"] and again["layer"] == packages["layer"]
    assert len(index.requests) == asked, "a layer that is there needs no index"
    assert house.api.invoke("second").expect(200).json() == {"said": "hello 1"}
