"""Where the time of a call went: the answer's header, the record and the command tell the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from harness import Reply, Server, until, write_function

SLOW = """
import time

time.sleep(0.2)


def handler(event):
    time.sleep(event.get("sleep", 0))
    return "done"
"""


def phases(reply: Reply) -> dict[str, float]:
    """The entries of `Server-Timing` in milliseconds."""
    entries = re.findall(r"([a-z]+);dur=([0-9.]+)", reply.headers["server-timing"])
    return {name: float(duration) for name, duration in entries}


def start_of(run: dict[str, Any]) -> dict[str, float] | None:
    return run["attempts"][0].get("start")


@pytest.fixture
def slow(server: Server, tmp_path: Path, name: str) -> str:
    server.deploy(write_function(tmp_path, name, SLOW, scaling={"max": 1}))
    return name


def test_a_cold_call_tells_each_phase_and_a_warm_one_has_none_of_the_start(server: Server, slow: str) -> None:
    cold = server.api.call(slow, {"sleep": 0.05}).expect(200)
    told = phases(cold)
    assert list(told) == ["queue", "sandbox", "runtime", "import", "handler", "total"]
    assert told["import"] >= 200 and told["handler"] >= 50
    # A runtime that waited takes no time to start.
    assert told["sandbox"] > 0 and told["runtime"] >= 0
    parts = sum(duration for phase, duration in told.items() if phase != "total")
    assert parts <= told["total"] + 0.01, "phases overlap"
    assert parts >= 0.9 * told["total"], "a tenth of the time is told by nobody"

    warm = server.api.call(slow, {"sleep": 0.05}).expect(200)
    assert list(phases(warm)) == ["queue", "handler", "total"]
    assert warm.headers["x-cold-start"] == "false"
    assert phases(warm)["handler"] >= 50 > phases(warm)["queue"]

    kept = server.api.finished(cold.headers["x-run-id"])
    start = start_of(kept)
    assert start is not None
    for phase in ("sandbox", "runtime", "import"):
        assert start[f"{phase}_ms"] == pytest.approx(told[phase], abs=0.001)
    assert start_of(server.api.finished(warm.headers["x-run-id"])) is None


def test_the_command_draws_the_timeline(server: Server, slow: str) -> None:
    cold = server.api.call(slow).expect(200).headers["x-run-id"]
    server.api.finished(cold)
    shown = server.cli("runs", "get", cold).ok().stdout
    drawn = shown.partition("timeline:\n")[2]
    assert [line.split()[0] for line in drawn.splitlines()] == ["queue", "sandbox", "runtime", "import", "handler"]
    bars = {line.split()[0]: line.count("#") for line in drawn.splitlines()}
    assert bars["import"] > bars["handler"], drawn
    assert "\x1b" not in shown, "colour without a terminal"
    as_json = server.cli("runs", "get", cold, "-o", "json").ok().json()
    assert as_json["attempts"][0]["start"]["import_ms"] >= 200


def test_an_instance_that_was_kept_ready_is_warm(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, SLOW, scaling={"min": 1, "max": 1}))
    until(lambda: server.api.function(name)["instances"] == 1, "the minimum is kept")
    until(lambda: server.api.call(name).headers["x-cold-start"] == "false", "an instance is ready")


def test_a_failure_has_a_timeline_too(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, "def handler(event):\n    raise ValueError('no')\n"))
    failed = server.api.call(name).expect(502)
    assert list(phases(failed)) == ["queue", "sandbox", "runtime", "import", "handler", "total"]


def test_a_function_keeps_its_own_server_timing(server: Server, tmp_path: Path, name: str) -> None:
    code = "def handler(event):\n    return {'status': 200, 'headers': {'Server-Timing': 'db;dur=5'}, 'body': 'x'}\n"
    server.deploy(write_function(tmp_path, name, code))
    connection = server.http.connect()
    connection.request("GET", f"/fn/{name}", headers={"Authorization": f"Bearer {server.key}"})
    answer = connection.getresponse()
    told = [value for header, value in answer.getheaders() if header.lower() == "server-timing"]
    connection.close()
    assert told[0] == "db;dur=5" and "total;dur=" in told[1]
