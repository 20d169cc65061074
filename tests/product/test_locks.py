"""Locks of Python's project tools: installed exactly, with either installer, where they are of their project."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server, write_function
from harness.index import PythonIndex, installer, wheel

HANDLER = "import greeting\n\n\ndef handler(event, context):\n    return {'said': greeting.hello()}\n"
PROJECT = (
    '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.10"\n'
    'dependencies = ["greeting>=1"]\n\n[dependency-groups]\ndev = ["checker"]\n'
)
# Credentials that the server has and the lock does not.
PASSWORD = "of-the-index-9d1c"


@pytest.fixture(scope="module")
def index() -> Iterator[PythonIndex]:
    """An index with a version that is not the newest, what it needs, and what only its developers need."""
    with PythonIndex(PASSWORD) as index:
        code = "from words import WORD\n\n\ndef hello():\n    return WORD + ' %s'\n"
        for version in ["1.0", "1.1"]:
            index.add(wheel("greeting", version, {"greeting/__init__.py": code % version}, requires=["words"]))
        index.add(wheel("words", "2.1", {"words.py": "WORD = 'hello'\n"}))
        index.add(wheel("checker", "3.0", {"checker.py": "x = 1\n"}))
        yield index


@pytest.fixture(scope="module", params=["pip", "uv"])
def house(index: PythonIndex, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server whose builds use that index."""
    with Server(env={"FAAS_BUILD_INDEXES_PYPI": index.url} | installer(request.param)) as server:
        yield server


def locked_by_uv(index: PythonIndex, folder: Path) -> str:
    """What uv itself locks for the project, with the older version."""
    uv = shutil.which("uv", path=installer("uv")["PATH"])
    assert uv is not None
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT, "utf-8")
    command = [uv, "lock", "--no-config", "--no-cache", "--default-index", index.url, "-P", "greeting==1.0"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    return (folder / "uv.lock").read_text("utf-8")


def digest(index: PythonIndex, package: str, file: str) -> str:
    return hashlib.sha256(index.packages[package][file]).hexdigest()


def locked_by_poetry(index: PythonIndex) -> str:
    """The same as Poetry writes it."""
    text = ""
    for name, version in {"greeting": "1.0", "words": "2.1", "checker": "3.0"}.items():
        file = f"{name}-{version}-py3-none-any.whl"
        group = "dev" if name == "checker" else "main"
        text += (
            f'[[package]]\nname = "{name}"\nversion = "{version}"\noptional = false\npython-versions = "*"\n'
            f'groups = ["{group}"]\nfiles = [{{file = "{file}", hash = "sha256:{digest(index, name, file)}"}}]\n\n'
        )
    return text + '[metadata]\nlock-version = "2.1"\npython-versions = ">=3.10"\n'


def test_a_lock_is_installed_as_it_is_and_shared(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    lock = locked_by_uv(index, tmp_path / "project")
    assert PASSWORD not in lock and "checker" in lock
    files = {"main.py": HANDLER, "pyproject.toml": PROJECT, "uv.lock": lock}
    told = house.cli("deploy", write_function(tmp_path, "locked", files)).ok().stdout
    assert "2 packages from uv.lock" in told, told
    assert house.api.invoke("locked").expect(200).json() == {"said": "hello 1.0"}
    files = {"main.py": HANDLER, "pyproject.toml": PROJECT, "poetry.lock": locked_by_poetry(index)}
    same = house.deploy(write_function(tmp_path, "poetic", files))["dependencies"]
    assert same["source"] == "poetry.lock" and same["packages"] == 2
    # uv names the index that it was locked from, Poetry none: the packages are the same.
    assert house.api.invoke("poetic").expect(200).json() == {"said": "hello 1.0"}
    again = house.deploy(write_function(tmp_path, "again", files))["dependencies"]
    assert again["reused"] and again["layer"] == same["layer"]


def test_nothing_comes_that_is_not_locked(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    lock = locked_by_poetry(index)
    alone = lock[lock.index('[[package]]\nname = "words"') :]
    files = {"main.py": "import words\n\n\ndef handler():\n    return words.WORD\n", "poetry.lock": alone}
    assert house.deploy(write_function(tmp_path, "alone", files))["dependencies"]["packages"] == 1
    before = lock[: lock.index('[[package]]\nname = "words"')] + lock[lock.index("[metadata]") :]
    files = {"main.py": "def handler():\n    return 1\n", "poetry.lock": before}
    assert house.deploy(write_function(tmp_path, "without", files))["dependencies"]["packages"] == 1
    forged = alone.replace(digest(index, "words", "words-2.1-py3-none-any.whl"), "0" * 64)
    files = {"main.py": HANDLER, "poetry.lock": forged}
    said = house.cli("deploy", write_function(tmp_path, "forged", files)).exits(5).stderr
    assert digest(index, "words", "words-2.1-py3-none-any.whl") in said and PASSWORD not in said


def test_other_indexes_are_asked_where_the_operator_allows(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    lock = locked_by_poetry(index)
    source = (
        '[package.source]\ntype = "legacy"\nurl = "http://packages.example:81/simple"\nreference = "x"\n\n[metadata]'
    )
    lock = lock.replace("[metadata]", source).replace('groups = ["dev"]', 'groups = ["main"]')
    files = {"main.py": HANDLER, "poetry.lock": lock}
    deployed = house.deploy(write_function(tmp_path, "elsewhere", files))
    assert deployed["dependencies"]["packages"] == 3
    shown = house.cli("layers", "get", deployed["dependencies"]["layer"], "-o", "json").ok().json()
    assert any("packages.example:81" in line and "FAAS_BUILD_ALLOW" in line for line in shown["log"]), shown["log"]


def test_a_stale_lock_is_refused_with_the_command_that_mends_it(
    house: Server, index: PythonIndex, tmp_path: Path
) -> None:
    changed = PROJECT.replace("greeting>=1", "greeting>=1.1")
    files = {"main.py": HANDLER, "pyproject.toml": changed, "uv.lock": locked_by_uv(index, tmp_path / "project")}
    said = house.cli("deploy", write_function(tmp_path, "stale", files)).exits(5).stderr
    assert "uv.lock does not agree with pyproject.toml (`greeting`)" in said and "uv lock" in said, said
    local = '[[packages]]\nname = "own"\ndirectory = { path = "../own" }\n'
    files = {"main.py": HANDLER, "pylock.toml": f'lock-version = "1.0"\n{local}'}
    said = house.cli("deploy", write_function(tmp_path, "local", files)).exits(5).stderr
    assert "pylock.toml: the package `own` is a local package" in said, said


def test_a_uv_that_cannot_run_is_named(index: PythonIndex, tmp_path: Path) -> None:
    files = {"main.py": HANDLER, "requirements.txt": "greeting==1.0\n"}
    tools = tmp_path / "tools"
    tools.mkdir()
    program = tools / "uv"
    path = f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin"
    environment = {"FAAS_BUILD_INDEXES_PYPI": index.url, "PATH": path}
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    with Server(env=environment) as server:
        # A script that leads to some uv or other is passed over.
        server.deploy(write_function(tmp_path, "scripted", files))
        assert server.api.invoke("scripted").expect(200).json() == {"said": "hello 1.0"}
        program.write_bytes(b"\x7fELF" + bytes(60))
        files["requirements.txt"] = "greeting==1.1\n"
        said = server.cli("deploy", write_function(tmp_path, "broken", files)).exits(5).stderr
        assert "uv cannot be run here" in said, said
        program.unlink()
    with Server(env=environment | {"FAAS_BUILD_INSTALLERS_PYPI": "uv"}) as server:
        said = server.cli("deploy", write_function(tmp_path, "missing", files)).exits(5).stderr
        assert 'build.installers.pypi is "uv"' in said and "install the program uv" in said, said
