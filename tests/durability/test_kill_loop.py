"""Twenty times SIGKILL under load: it comes back, everything deployed answers, nothing of the old one is left."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from harness import Server, until, write_function

from durability.load import Load

ROUNDS = 20
QUICK = "def handler(x: int):\n    return x + 1\n"
SLOW = "import time\n\ndef handler(seconds: float):\n    time.sleep(seconds)\n    return 'slept'\n"
FUNCTIONS = ["quick-one", "quick-two", "quick-three"]


def _kill_loop(server: Server, tmp_path: Path, rounds: int) -> None:
    for name in FUNCTIONS:
        server.deploy(write_function(tmp_path, name, QUICK))
    server.deploy(write_function(tmp_path, "slow", SLOW))
    for turn in range(rounds):
        old_sandboxes = _kill_under_load(server, turn)
        server.start()
        for name in FUNCTIONS:
            assert server.api.call(name, {"x": turn}).expect(200).json() == {"result": turn + 1}
        until(lambda: not server.footprint.orphans(server.pid), "no orphan is left", within=10)
        until(lambda old=old_sandboxes: not [path for path in old if path.exists()], "old cgroups are gone", within=10)
    until(lambda: server.api.runs("?state=running") == [], "no run of a killed server is said to be running")
    assert server.stop() == 0
    assert server.footprint.leftovers() == []


def _kill_under_load(server: Server, turn: int) -> set[Path]:
    """Kills it while calls are under way, and returns the cgroups that its sandboxes had."""
    footprint = server.footprint
    footprint.sandboxes.clear()
    sleeper = threading.Thread(target=_call_slow, args=(server,), daemon=True)
    with Load(server.http, FUNCTIONS) as load:
        sleeper.start()
        until(lambda: load.good() >= 30, f"30 answers in round {turn}", within=60)
        footprint.look(server.pid)
        assert len(footprint.alive()) > 1, "the look found no sandbox: the test would see no orphan either"
        server.kill()
    sleeper.join(60)
    assert not [answer for answer in load.answers if answer.startswith("wrong")], load.answers
    return footprint.sandboxes - footprint.cgroups


def _call_slow(server: Server) -> None:
    try:
        server.api.call("slow", {"seconds": 20}, timeout=30)
    except Exception:  # The server is killed meanwhile: any failure is right.
        return


def test_kill_loop(tmp_path: Path) -> None:
    with Server() as server:
        _kill_loop(server, tmp_path, ROUNDS)


@pytest.mark.needs("root", "ordinary", "userns")
def test_kill_loop_as_ordinary_user(tmp_path: Path) -> None:
    with Server(ordinary_user=True) as server:
        _kill_loop(server, tmp_path, 5)
