"""What a function writes: as a list, as a stream, on the command line."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest
from harness import Server, until, write_function

TALKS = """
import logging, sys

log = logging.getLogger("app")

def handler(event):
    print("to stdout", event["n"])
    print("to stderr", event["n"], file=sys.stderr)
    log.warning("to the log %s", event["n"])
    return "said"
"""


@pytest.fixture
def talks(server: Server, tmp_path: Path, name: str) -> str:
    server.deploy(write_function(tmp_path, name, TALKS))
    return name


def test_streams_and_levels_are_told_apart(server: Server, talks: str) -> None:
    run_id = server.api.invoke(talks, {"n": 1}).expect(200).headers["x-run-id"]
    lines = server.api.log_lines(run_id, 3)
    seen = {line["message"]: (line["stream"], line["level"]) for line in lines}
    assert seen["to stdout 1"] == ("stdout", "info")
    assert seen["to stderr 1"][0] == "stderr"
    assert seen["to the log 1"] == ("logger", "warn")
    assert {line["run_id"] for line in lines} == {run_id}


def test_a_run_shows_only_its_own_lines(server: Server, talks: str) -> None:
    runs = [server.api.invoke(talks, {"n": n}).expect(200).headers["x-run-id"] for n in range(5)]
    for n, run_id in enumerate(runs):
        lines = server.api.log_lines(run_id, 3)
        assert all(line["message"].endswith(f" {n}") for line in lines), lines


def test_the_command_line_shows_them(server: Server, talks: str) -> None:
    run_id = server.api.invoke(talks, {"n": 7}).expect(200).headers["x-run-id"]
    server.api.log_lines(run_id, 3)
    assert "to stdout 7" in server.cli("logs", talks).ok().stdout
    assert "to the log 7" in server.cli("runs", "logs", run_id).ok().stdout


def events(server: Server, path: str, last: str | None = None) -> Iterator[dict]:
    """Server-sent events from a connection of its own."""
    connection = server.http.connect(timeout=30)
    headers = {"Authorization": f"Bearer {server.key}", "Accept": "text/event-stream"}
    if last is not None:
        headers["Last-Event-ID"] = last
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    event: dict[str, str] = {}
    try:
        while line := answer.readline():
            text = line.decode().rstrip("\r\n")
            if not text and event.get("data"):
                yield event | {"line": json.loads(event["data"])["data"]}
            if not text:
                event = {}
            elif not text.startswith(":"):
                key, _, value = text.partition(":")
                event[key] = event.get(key, "") + value.removeprefix(" ")
    finally:
        connection.close()


def test_following_shows_lines_as_they_come(server: Server, talks: str) -> None:
    server.api.invoke(talks, {"n": 0}).expect(200)
    queue: Queue[dict] = Queue()

    def follow() -> None:
        for event in events(server, f"/api/v1/functions/{talks}/logs?follow=true"):
            queue.put(event)
            if event["line"]["message"] == "to the log 2":
                return

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    messages: list[str] = []
    until(lambda: queue.qsize() >= 3, "what is there already comes first")
    for n in (1, 2):
        server.api.invoke(talks, {"n": n}).expect(200)
    reader.join(20)
    assert not reader.is_alive(), "the last line did not come"
    cursors = []
    while not queue.empty():
        event = queue.get()
        assert event["event"] == "log"
        cursors.append(int(event["id"]))
        messages.append(event["line"]["message"])
    assert cursors == sorted(set(cursors)), "cursors rise"
    assert [m for m in messages if m.startswith("to stdout")] == ["to stdout 0", "to stdout 1", "to stdout 2"]


def test_following_takes_up_after_the_last_event(server: Server, talks: str) -> None:
    run_id = server.api.invoke(talks, {"n": 0}).expect(200).headers["x-run-id"]
    lines = server.api.log_lines(run_id, 3)
    stream = events(server, f"/api/v1/functions/{talks}/logs?follow=true", last=str(lines[0]["position"]))
    first = next(stream)
    stream.close()
    assert int(first["id"]) == lines[1]["position"]


def test_binary_and_very_long_lines(server: Server, tmp_path: Path, name: str) -> None:
    code = """
import os

def handler(event):
    os.write(1, b"\\xff\\xfe\\x00 binary\\n")
    os.write(1, b"x" * 100_000 + b"\\n")
    os.write(1, b"no line end")
    return "said"
"""
    server.deploy(write_function(tmp_path, name, code))
    run_id = server.api.invoke(name).expect(200).headers["x-run-id"]
    lines = server.api.log_lines(run_id, 3)
    assert max(len(line["message"]) for line in lines) <= 17 << 10
    assert "no line end" in [line["message"] for line in lines]


def test_what_a_new_instance_writes_at_import(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, "print('at import')\n\ndef handler(event):\n    return 1\n"))
    server.api.invoke(name).expect(200)
    until(lambda: "at import" in server.cli("logs", name).ok().stdout, "the import's line is kept")
