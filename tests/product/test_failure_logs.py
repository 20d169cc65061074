"""What fails is in the log: each attempt with its code, what was raised, where, and the stack."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from harness import Server, until, write_function

RAISES = {
    "python": ("main.py", "def handler(event):\n    inner()\n\ndef inner():\n    raise KeyError('API_KEY')\n"),
    "node": (
        "index.mjs",
        "function inner() {\n  throw new TypeError('no API_KEY');\n}\n"
        "export function handler(event) {\n  inner();\n}\n",
    ),
}
TOLD = {
    "python": ("FN_004 KeyError: 'API_KEY' (main.py:5)", "inner"),
    "node": ("FN_004 TypeError: no API_KEY (index.mjs:2)", "inner"),
}


def errors(server: Server, run: str) -> list[dict[str, Any]]:
    """The error lines of a run, once there are some."""
    path = f"/api/v1/runs/{run}/logs?level=error"
    return until(lambda: server.http.get(path).expect(200).json()["items"], f"{run} has error lines")


@pytest.mark.parametrize("language", RAISES)
def test_an_exception_is_in_every_view_of_the_log(server: Server, tmp_path: Path, name: str, language: str) -> None:
    file, code = RAISES[language]
    server.deploy(write_function(tmp_path, name, {file: code}, runtime=language))
    run = server.api.invoke(name).headers["x-run-id"]
    [line] = errors(server, run)
    first, *stack = line["message"].split("\n")
    told, inner = TOLD[language]
    assert (first, line["stream"]) == (told, "platform"), line
    assert any(inner in row for row in stack), stack
    for words in (
        ["logs", name],
        ["logs", name, "--level", "error"],
        ["runs", "logs", run],
        ["logs", "--level", "error"],
    ):
        assert told in server.cli(*words).ok().stdout, words


def test_a_followed_log_shows_an_exception(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, RAISES["python"][1]))
    seen: list[str] = []

    def follow() -> None:
        path = f"/api/v1/functions/{name}/logs?follow=true"
        connection = server.http.connect(timeout=30)
        connection.request("GET", path, headers={"Authorization": f"Bearer {server.key}"})
        response = connection.getresponse()
        while line := response.readline().decode():
            seen.append(line)
            if "KeyError" in line:
                return

    following = threading.Thread(target=follow, daemon=True)
    following.start()
    deadline = time.monotonic() + 30
    while following.is_alive() and time.monotonic() < deadline:
        server.api.invoke(name)
        following.join(0.3)
    assert any("KeyError" in line for line in seen), seen


def test_each_attempt_leaves_its_line_and_keeps_what_it_raised(server: Server, tmp_path: Path, name: str) -> None:
    """The run succeeds in the end; what went wrong before is still there."""
    code = """
import os

def handler(event):
    tries = len(os.listdir("/tmp"))
    open(f"/tmp/{tries}", "w").close()
    if tries < 2:
        raise RuntimeError(f"try {tries} failed")
    return "at last"
"""
    folder = write_function(tmp_path, name, code)
    with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write('\n[background.retry]\nmax_attempts = 5\nbackoff = "10ms"\n[scaling]\nmax = 1\n')
    server.deploy(folder)
    run_id = server.http.post(f"/async/{name}", {}).expect(202).json()["run_id"]
    run = server.http.get(f"/api/v1/runs/{run_id}?wait=30s").expect(200).json()
    assert run["state"] == "succeeded", run
    raised = [attempt.get("error") for attempt in run["attempts"]]
    assert [error and error["message"] for error in raised] == ["try 0 failed", "try 1 failed", None]
    assert all(error["type"] == "RuntimeError" and error["file"] == "main.py" for error in raised[:2])
    assert all(any("in handler" in entry for entry in error["stack"]) for error in raised[:2])
    lines = errors(server, run_id)
    assert [line["message"].split(" (")[0] for line in lines] == [
        "FN_004 RuntimeError: try 0 failed",
        "FN_004 RuntimeError: try 1 failed",
    ]


def test_an_answer_that_counts_as_a_failure_is_told(server: Server, tmp_path: Path, name: str) -> None:
    code = "def handler(event):\n    return {'statusCode': 503, 'body': 'later'}\n"
    folder = write_function(tmp_path, name, code)
    with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write('\n[background.retry]\nmax_attempts = 2\nbackoff = "10ms"\n')
    server.deploy(folder)
    run_id = server.http.post(f"/async/{name}", {}).expect(202).json()["run_id"]
    server.http.get(f"/api/v1/runs/{run_id}?wait=30s").expect(200)
    told = [line["message"] for line in errors(server, run_id)]
    assert told == ["FN_004 the function answered with status 503"] * 2


ENDS = {
    "timeout": ("import time\n\ndef handler(event):\n    time.sleep(30)\n", {"timeout": "1s"}, "FN_002"),
    "crash": ("import os\n\ndef handler(event):\n    os._exit(3)\n", {}, "FN_004"),
    "memory": ("def handler(event):\n    return len(bytearray(1 << 30))\n", {}, "FN_003"),
    "signal": ("import os\n\ndef handler(event):\n    os.kill(os.getpid(), 11)\n", {}, "FN_004"),
}


@pytest.mark.parametrize("how", ENDS)
def test_other_ends_are_told_as_well(server: Server, tmp_path: Path, name: str, how: str) -> None:
    code, settings, told = ENDS[how]
    server.deploy(write_function(tmp_path, name, code, **settings))
    run = server.api.invoke(name, timeout=60).headers["x-run-id"]
    [line] = errors(server, run)
    assert line["message"].startswith(f"{told} "), line


def test_secrets_are_taken_out_of_the_line(server: Server, tmp_path: Path, name: str) -> None:
    secret = "a-secret-nobody-may-read"
    server.cli("secrets", "set", "FAILURE_TOKEN", stdin=secret).ok()
    code = "import os\n\ndef handler(event):\n    raise ValueError(os.environ['TOKEN'])\n"
    folder = write_function(tmp_path, name, code)
    with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write('\n[vars]\nTOKEN = "${secrets.FAILURE_TOKEN}"\n')
    server.deploy(folder)
    run = server.api.invoke(name).headers["x-run-id"]
    [line] = errors(server, run)
    assert secret not in line["message"] and "ValueError: [secret FAILURE_TOKEN]" in line["message"], line
