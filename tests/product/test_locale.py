"""The locale that the environment names exists."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Server, write_function

PYTHON = """
import ctypes, locale

def handler(event):
    named = locale.setlocale(locale.LC_ALL, "")
    return {"named": named, "encoding": locale.getpreferredencoding(), "wide": locale.strxfrm("\\u00e4") != ""}
"""


def test_python_finds_it(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, PYTHON))
    told = server.api.invoke(name).expect(200).json()
    assert told == {"named": "C.UTF-8", "encoding": "UTF-8", "wide": True}


@pytest.mark.needs("node")
def test_a_library_in_node_finds_it(server: Server, tmp_path: Path, name: str) -> None:
    """The files are what `setlocale` of the C library reads; Node itself brings its own."""
    code = """
import { existsSync } from "node:fs";
export const handler = () => ["C.utf8", "C.UTF-8"].some((each) => existsSync(`/usr/lib/locale/${each}/LC_CTYPE`));
"""
    server.deploy(write_function(tmp_path, name, {"index.mjs": code}, runtime="node"))
    assert server.api.invoke(name).expect(200).json() is True
