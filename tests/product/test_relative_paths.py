"""Paths as people type them, from the directory they are in: they mean the same to whatever a command starts."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Footprint, Server, free_port, until, write_function
from harness.index import PythonIndex, wheel

from product.developer import Dev, Developer

HANDLER = "import greeting\n\n\ndef handler():\n    return greeting.hello()\n"
CASE = '{"expect": {"json": {"result": "hello"}}}'
ANSWER = {"result": "hello"}


@pytest.fixture(scope="module")
def index() -> Iterator[PythonIndex]:
    with PythonIndex() as index:
        index.add(wheel("greeting", "1.0", {"greeting.py": "def hello():\n    return 'hello'\n"}))
        yield index


@pytest.fixture
def developer(tmp_path: Path, index: PythonIndex) -> Developer:
    """Somebody whose packages come from an index that the environment names."""
    return Developer(tmp_path, FAAS_BUILD_INDEXES_PYPI=index.url)


def shop(folder: Path) -> Path:
    """A function with a package and a case."""
    files = {"main.py": HANDLER, "requirements.txt": "greeting==1.0\n", "tests/one.json": CASE}
    return write_function(folder, "shop", files)


def compiled(folder: Path) -> int:
    """Compiled modules of the interpreters that were sealed for it."""
    return sum(1 for _ in folder.rglob("lib/python3.*/**/*.pyc"))


def test_a_function_with_packages_runs_by_its_relative_path(developer: Developer, tmp_path: Path) -> None:
    folder = shop(tmp_path)
    assert developer.cli("test", "shop", cwd=tmp_path).ok().stdout.startswith("ok")
    assert developer.cli("test", cwd=folder).ok().stdout.startswith("ok")
    assert developer.cli("invoke", "--local", "./shop", cwd=tmp_path).ok().json() == ANSWER
    with Dev(developer, Path("shop"), cwd=tmp_path) as dev:
        dev.starts()
        assert dev.answer() == ANSWER
        (folder / "main.py").write_text(HANDLER.replace("hello()", "hello() + '!'"), encoding="utf-8")
        until(lambda: dev.answer() == {"result": "hello!"}, "the edit serves")
    assert compiled(tmp_path / ".cache/faas/runtimes") > 100, "interpreters are sealed once a user, and compiled"
    assert compiled(folder / ".faas") == 0


def test_interpreters_lie_with_the_state_where_there_is_no_cache(developer: Developer, tmp_path: Path) -> None:
    shop(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache").chmod(0o777)
    developer.cli("test", "shop", "--data", "state", cwd=tmp_path).ok()
    assert compiled(tmp_path / "state") > 100
    assert not list((tmp_path / ".cache").iterdir())


def test_a_server_with_a_relative_data_directory_installs_packages(developer: Developer, tmp_path: Path) -> None:
    shop(tmp_path)
    port = free_port()
    user = Developer(tmp_path, **developer.env, FAAS_LISTEN=f"127.0.0.1:{port}", TEST_SERVER_MARK=str(tmp_path))
    footprint = Footprint(str(tmp_path), tmp_path / "state")
    with (tmp_path / "log").open("wb") as log:
        words = [str(user.program), "up", "--data", "state"]
        server = subprocess.Popen(words, env=user.env, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until(lambda: user.cli("status").code == 0, "the server is there", within=60)
        user.cli("deploy", "shop", cwd=tmp_path).ok()
        assert user.cli("invoke", "shop").ok().json() == ANSWER
    finally:
        footprint.look(server.pid)
        server.terminate()
        server.wait(40)
    assert compiled(tmp_path / "state") > 100
    assert not footprint.alive()


@pytest.mark.parametrize("way", ["--config", "FAAS_CONFIG"])
def test_private_servers_read_the_servers_file(way: str, index: PythonIndex, tmp_path: Path) -> None:
    shop(tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/ca.pem").write_text("", encoding="utf-8")
    # Paths in it start from its own directory. What listens at that address is another server.
    text = f'[http]\nlisten = "127.0.0.1:1"\n[build]\nindexes.pypi = "{index.url}"\nca_file = "ca.pem"\n'
    (tmp_path / "etc/server.toml").write_text(text, encoding="utf-8")
    user = Developer(tmp_path, **({"FAAS_CONFIG": "etc/server.toml"} if way == "FAAS_CONFIG" else {}))
    options = ["--config", "etc/server.toml"] if way == "--config" else []
    user.cli("test", "shop", *options, cwd=tmp_path).ok()
    assert user.cli("invoke", "--local", "shop", *options, cwd=tmp_path).ok().json() == ANSWER
    with Dev(user, Path("shop"), *options, cwd=tmp_path) as dev:
        dev.starts()
        assert dev.answer() == ANSWER


def test_settings_that_nothing_reads_are_named(developer: Developer, tmp_path: Path) -> None:
    shop(tmp_path)
    done = developer.cli("test", "shop", cwd=tmp_path, env={"FAAS_BUILD_ALOW": "x", "FAAS_DATA": "elsewhere"}).ok()
    assert "environment variable FAAS_BUILD_ALOW; did you mean FAAS_BUILD_ALLOW?" in done.stderr
    assert not (tmp_path / "elsewhere").exists(), "a private server lives with its project"
    wrong = developer.cli("test", "shop", cwd=tmp_path, env={"FAAS_BUILD_TIMEOUT": "soon"}).exits(5)
    assert "FAAS_BUILD_TIMEOUT" in wrong.stderr


def test_a_host_of_no_public_address_is_named_with_all_of_its_index(index: PythonIndex, tmp_path: Path) -> None:
    """What a refusal says to type is typed, and does it."""
    folder = write_function(tmp_path, "far", {"main.py": HANDLER, "requirements.txt": ""})
    (folder / "requirements.txt").write_text(
        f"--index-url http://localhost:{index.port}/simple/\ngreeting==1.0\n", encoding="utf-8"
    )
    user = Developer(tmp_path)
    refused = user.cli("invoke", "--local", "far", cwd=tmp_path).exits(5)
    advice = next(line for line in refused.stderr.splitlines() if "FAAS_BUILD_ALLOW=" in line)
    assert "before the command" in advice and " / " not in refused.stderr, refused.stderr
    allowed = advice.split("FAAS_BUILD_ALLOW=")[1].split()[0].rstrip(",")
    assert allowed == f"localhost:{index.port}"
    done = user.cli("invoke", "--local", "far", cwd=tmp_path, env={"FAAS_BUILD_ALLOW": allowed})
    assert "FAAS_BUILD_ALLOW" not in done.stderr, done.stderr


def test_what_is_not_installed_or_does_not_fit_is_told_at_home_too(tmp_path: Path) -> None:
    user = Developer(tmp_path)
    plain = {"main.py": "def handler():\n    return 1\n"}
    write_function(tmp_path, "prod", plain | {"requirements/prod.txt": "greeting\n"})
    told = user.cli("invoke", "--local", "prod", cwd=tmp_path).ok().stderr
    assert "requirements/prod.txt is not read" in told and "-r requirements/prod.txt" in told
    write_function(tmp_path, "other", plain | {"pyproject.toml": "[project]\nrequires-python = '<3'\n"})
    refused = user.cli("invoke", "--local", "other", cwd=tmp_path).exits(5).stderr
    assert "pyproject.toml is for Python <3" in refused and "no Python of this server fits" in refused
    code = "from part import _core\n\n\ndef handler():\n    return 1\n"
    module = "vendor/part/_core.cpython-39-x86_64-linux-gnu.so"
    write_function(tmp_path, "old", {"main.py": code, "vendor/part/__init__.py": "", module: "no program"})
    refused = user.cli("invoke", "--local", "old", cwd=tmp_path).exits(5).stderr
    assert "vendor/part/_core beside the code is compiled for Python 3.9" in refused, refused
    assert "the version before serves on" not in refused


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_every_command_takes_paths_from_where_one_is(server: Server, tmp_path: Path) -> None:
    user = server.cli
    write_function(tmp_path, "plain", {"main.py": "def handler():\n    return 1\n"})
    (tmp_path / "one.py").write_text("def handler():\n    return 2\n", encoding="utf-8")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/part.py").write_text("PART = 1\n", encoding="utf-8")
    texts = {"body.json": "{}", "some.env": "A=1\n", "word": "s3cret-word", "rules.toml": ""}
    texts["signing"] = "whsec_" + base64.b64encode(bytes(32)).decode()
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    for words in [
        ["init", "made"],
        ["validate", "plain"],
        ["validate", "./plain"],
        ["deploy", "plain"],
        ["deploy", "plain/"],
        ["deploy", "./one.py"],
        ["deploy", "lib/../one.py"],
        ["deps", "plain"],
        ["invoke", "plain", "-d", "@body.json"],
        ["vars", "set", "plain", "--file", "some.env"],
        ["secrets", "set", "WORD", "--from-file", "word"],
        ["layers", "publish", "parts", "lib"],
        ["preflight", "set", "rules.toml"],
        ["triggers", "add", "plain", "webhook", "--name", "in", "--secret-file", "signing"],
    ]:
        user(*words, cwd=tmp_path).ok()
    user("doctor", cwd=tmp_path, env={"TMPDIR": "lib"}).ok()
    assert user("invoke", "one").ok().json() == {"result": 2}
