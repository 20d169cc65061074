"""Stopping and starting: calls under way are finished, what was deployed and recorded is still there."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Server, until, write_function

SLOW = "import time\n\ndef handler(seconds: float):\n    time.sleep(seconds)\n    return 'slept'\n"


def _running(server: Server) -> int:
    metrics = server.http.get("/api/v1/functions/slow/metrics").expect(200).json()
    return int(metrics["in_flight"])


def test_a_graceful_stop_finishes_what_runs_and_leaves_nothing(tmp_path: Path) -> None:
    with Server() as server:
        server.deploy(write_function(tmp_path, "slow", SLOW))
        with ThreadPoolExecutor(4) as callers:
            calls = [callers.submit(server.api.call, "slow", {"seconds": 2}) for _ in range(4)]
            until(lambda: _running(server) == 4, "four calls are under way")
            code = server.stop()
            answers = [call.result().status for call in calls]
        assert code == 0
        assert answers == [200] * 4
        assert server.footprint.leftovers() == []


def test_a_stop_is_bounded_even_when_a_call_is_not(tmp_path: Path) -> None:
    with Server(args=["--drain", "2s"]) as server:
        server.deploy(write_function(tmp_path, "slow", SLOW, timeout="10m"))
        with ThreadPoolExecutor(1) as callers:
            call = callers.submit(server.api.call, "slow", {"seconds": 500}, timeout=90)
            until(lambda: _running(server) == 1, "the call is under way")
            server.stop(within=15)
            with contextlib.suppress(OSError):
                assert call.result().status >= 500
        assert server.footprint.leftovers() == []


def test_a_restart_finds_everything(tmp_path: Path) -> None:
    with Server() as server:
        for version in (1, 2):
            server.deploy(write_function(tmp_path, "kept", f"def handler():\n    return {version}\n"))
        run_id = server.api.invoke("kept").expect(200).headers["x-run-id"]
        made = server.api.create_key("before", ["invoke"])
        until(lambda: server.api.run(run_id).status == 200, "the run is recorded")
        before = server.api.function("kept")
        server.stop()
        server.start()
        after = server.api.function("kept")
        assert (after["id"], after["version"], after["latest_version"]) == (before["id"], 2, 2)
        assert server.api.invoke("kept", key=made["key"]).expect(200).json() == {"result": 2}
        assert server.api.run(run_id).expect(200).json()["state"] == "succeeded"


@pytest.mark.needs("root")
def test_two_servers_have_nothing_in_common(tmp_path: Path) -> None:
    """Stopping one server, and cleaning up after a killed one, never touches another's sandboxes."""
    code = "def handler():\n    return 1\n"
    with Server() as first, Server() as second:
        for server in (first, second):
            server.deploy(write_function(tmp_path, "here", code, scaling={"max": 1}))
            server.api.invoke("here").expect(200)
        first.kill()
        first.start()
        first.stop()
        assert second.api.invoke("here").expect(200).headers["x-cold-start"] == "false"
