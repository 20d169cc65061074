"""What commands tell a person: files that stay behind, answers that break off, functions that are paused."""

from __future__ import annotations

from pathlib import Path

from harness import Server, write_function

BREAKS = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * 4_000_000, "more_body": True})
    raise ValueError("in the middle")
"""
# Keeps all descriptors to itself, so that nothing can be looked up for the error either.
SPENT = """
import os


def handler():
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        handler.held = held
        raise
"""


def test_a_single_file_says_what_is_left_beside_it(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "alone.py"
    file.write_text("def handler():\n    return 1\n", encoding="utf-8")
    assert "beside it" not in server.cli("deploy", file).exits(0).stderr
    for name in ("requirements.txt", "faas.toml"):
        (tmp_path / name).write_text("", encoding="utf-8")
    told = server.cli("deploy", file).exits(0).stderr
    assert "only alone.py is sent: faas.toml and requirements.txt beside it are not" in told, told
    assert f"faas deploy {tmp_path}" in told, told


def test_an_answer_that_breaks_off_is_the_functions(server: Server, tmp_path: Path) -> None:
    server.deploy(write_function(tmp_path, "breaks", BREAKS, entrypoint="main:app"))
    result = server.cli("invoke", "breaks", "--path", "/")
    assert result.code == 1 and "the function's answer broke off after " in result.stderr, result.stderr
    assert "faas runs get run_" in result.stderr and "same release" not in result.stderr, result.stderr


def test_an_error_without_descriptors_keeps_its_message(server: Server, tmp_path: Path) -> None:
    server.deploy(write_function(tmp_path, "spent", SPENT))
    error = server.api.invoke("spent").expect(502).json()["function_error"]
    assert error["type"] == "OSError" and "Too many open files" in error["message"], error


def test_the_list_shows_that_a_function_is_paused(server: Server, tmp_path: Path) -> None:
    server.deploy(write_function(tmp_path, "held", "def handler():\n    return 1\n"))

    def row() -> str:
        lines = server.cli("functions", "list").exits(0).stdout.splitlines()
        return next(line for line in lines if line.startswith("held "))

    assert "paused" not in row()
    server.cli("functions", "pause", "held").exits(0)
    assert "ready, paused" in row()
    server.cli("functions", "resume", "held").exits(0)
    assert "paused" not in row()
