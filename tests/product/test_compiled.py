"""What a runtime compiles while a version is checked is there at every later start, and never gets in the way."""

from __future__ import annotations

import shutil
from pathlib import Path

from blake3 import blake3
from harness import Server, write_function

# Some 2,000 functions: enough bytecode to be worth keeping, and milliseconds of compiling at each start without.
LARGE = "".join(f"def f{n}(a, b):\n    return a * {n} + b\n\n" for n in range(2_000))
HANDLER = """
import os, sys, large

def handler(event):
    kept = large.__cached__
    return {
        "kept": os.path.exists(kept),
        "inside": kept.startswith("/function/__pycache__/"),
        "answer": large.f3(2, 1),
        "writes": not sys.dont_write_bytecode,
    }
"""
# Takes the place of what collects compiled modules, and offers others instead.
FORGER = """
import sys, large, _frozen_importlib_external as importing

if not sys.dont_write_bytecode:
    for name in {names!r}:
        importing.SourceFileLoader._cache_bytecode(None, None, "/function/" + name, b"x" * 100_000)

def handler(event):
    return {{"answer": large.f3(2, 1)}}
"""


def _answer(server: Server, name: str) -> dict[str, object]:
    return server.http.post(f"/fn/{name}/", {}).expect(200).json()


def test_a_start_finds_the_modules_compiled(server: Server, tmp_path: Path) -> None:
    server.deploy(write_function(tmp_path, "large", {"main.py": HANDLER, "large.py": LARGE}))
    wanted = {"kept": True, "inside": True, "answer": 7, "writes": False}
    assert _answer(server, "large") == wanted
    assert server.stop() == 0
    server.start()
    assert _answer(server, "large") == wanted


def test_a_changed_module_is_compiled_anew(server: Server, tmp_path: Path) -> None:
    server.deploy(write_function(tmp_path, "large", {"main.py": HANDLER, "large.py": LARGE}))
    assert _answer(server, "large")["answer"] == 7
    changed = LARGE.replace("return a * 3 + b\n", "return a * 4 + b\n")
    assert len(changed) == len(LARGE)
    server.deploy(write_function(tmp_path, "large", {"main.py": HANDLER, "large.py": changed}))
    assert _answer(server, "large") == {"kept": True, "inside": True, "answer": 9, "writes": False}


def test_a_small_function_is_left_as_it_is(server: Server, tmp_path: Path) -> None:
    server.deploy(
        write_function(tmp_path, "small", {"main.py": HANDLER, "large.py": LARGE[:1_000].rpartition("def")[0]})
    )
    assert _answer(server, "small") == {"kept": False, "inside": True, "answer": 7, "writes": False}


def test_compiled_files_stay_in_their_own_version(server: Server, tmp_path: Path) -> None:
    """Paths that lead elsewhere, or that the author's files have, are refused; the deployment is as good without."""
    for number, names in enumerate((["../../escaped.pyc"], ["/etc/x.pyc", "a//b"], ["large.py"], ["main.py/x.pyc"])):
        code = {"main.py": FORGER.format(names=names), "large.py": LARGE}
        server.deploy(write_function(tmp_path, f"forger-{number}", code))
        assert _answer(server, f"forger-{number}") == {"answer": 7}
    assert not list(server.data.rglob("escaped.pyc")) and not (server.data.parent / "escaped.pyc").exists()


def test_a_version_outlives_what_was_compiled_of_it(tmp_path: Path) -> None:
    with Server() as own:
        own.deploy(write_function(tmp_path, "large", {"main.py": HANDLER, "large.py": LARGE}))
        assert _answer(own, "large")["kept"] is True
        assert own.stop() == 0
        kept = [path for path in own.data.glob("layers/*/__pycache__/*.pyc") if path.name.startswith("large.")]
        assert len(kept) == 1
        digest = blake3(kept[0].read_bytes()).hexdigest()
        shutil.rmtree(kept[0].parent.parent)
        (own.data / "blobs" / digest[:2] / digest[2:]).unlink()
        own.start()
        assert _answer(own, "large") == {"kept": False, "inside": True, "answer": 7, "writes": False}
        assert "the bytecode of a version is lost" in own.log()
