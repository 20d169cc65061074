"""The command line's output contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import Server, write_function

from product.functions import ADD

COMMANDS = [
    "up",
    "doctor",
    "init",
    "validate",
    "deploy",
    "functions",
    "invoke",
    "runs",
    "logs",
    "explain",
    "completion",
]


@pytest.fixture
def add(server: Server, tmp_path: Path, name: str) -> str:
    server.deploy(write_function(tmp_path, name, ADD))
    return name


def test_every_command_has_help_with_an_example(server: Server) -> None:
    told = server.cli("--help").ok().stdout
    for command in [*COMMANDS, "status", "version"]:
        assert command in told
    for command in COMMANDS:
        assert f"faas {command}" in server.cli(command, "--help").ok().stdout


def test_data_on_stdout_and_the_rest_on_stderr(server: Server, add: str) -> None:
    for words in (["fn", "list"], ["fn", "get", add], ["runs", "list"], ["status"], ["version"], ["doctor"]):
        result = server.cli(*words, "-o", "json")
        assert result.code == 0, result.stderr
        json.loads(result.stdout)
    failed = server.cli("fn", "get", "no-such-function", "-o", "json").exits(4)
    assert failed.stdout == ""


def test_tables_have_no_colour_without_a_terminal(server: Server, add: str) -> None:
    result = server.cli("fn", "list").ok()
    assert add in result.stdout
    assert "\x1b[" not in result.stdout + result.stderr


def test_input_from_a_file_and_from_stdin(server: Server, add: str, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"x": 5, "y": 10}', encoding="utf-8")
    assert server.cli("invoke", add, "-d", f"@{body}").ok().json() == {"result": 15}
    assert server.cli("invoke", add, "-d", "-", stdin='{"x": 5, "y": 10}').ok().json() == {"result": 15}
    missing = server.cli("invoke", add, "-d", "@/no/such/file")
    assert missing.code in (2, 1)
    assert "/no/such/file" in missing.stderr
    server.cli("invoke", add, "-d", "{broken").exits(2)


def test_exit_codes(server: Server, add: str) -> None:
    server.cli("no-such-command").exits(2)
    server.cli("invoke", add, "--no-such-option").exits(2)
    server.cli("invoke", "no-such-function").exits(4)
    server.cli("fn", "list", env={"FAAS_API_KEY": "faas_wrong"}).exits(3)
    unreachable = server.cli("fn", "list", env={"FAAS_ENDPOINT": "http://127.0.0.1:1"}).exits(9)
    assert "faas up" in unreachable.stderr


def test_init_makes_something_that_deploys(server: Server, tmp_path: Path) -> None:
    server.cli("init", "from-init", cwd=tmp_path).ok()
    folder = tmp_path / "from-init"
    assert (folder / "faas.toml").is_file()
    server.cli("validate", folder).ok()
    server.deploy(folder)
    server.cli("invoke", "from-init", "-d", "{}").ok()
    again = server.cli("init", "from-init", cwd=tmp_path)
    assert again.code != 0, "init overwrote a directory"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(server: Server, shell: str) -> None:
    assert "faas" in server.cli("completion", shell).ok().stdout


def test_commands_work_while_nobody_is_home() -> None:
    """What needs no server works without one."""
    from harness.cli import Cli
    from harness.paths import binary

    cli = Cli(binary(), {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "FAAS_ENDPOINT": "http://127.0.0.1:1"})
    cli("version").ok()
    cli("explain", "FN_003").ok()
    cli("completion", "bash").ok()
