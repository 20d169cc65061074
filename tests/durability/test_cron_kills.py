"""A schedule that fires every second, on a server that is killed at the tick again and again."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harness import Server, until, write_function

KILLS = 8
TICKER = """
def handler(event, context):
    return {"at": context.request.headers["x-faas-scheduled-at"]}
"""
TRIGGER = """
[[triggers]]
type = "cron"
schedule = "* * * * * *"
missed = "all"
"""


def all_runs(server: Server) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = server.http.get(f"/api/v1/runs?function=ticker&limit=200{cursor}").expect(200).json()
        runs += page["items"]
        if page["next_cursor"] is None:
            return runs
        cursor = f"&cursor={page['next_cursor']}"


def ended(server: Server) -> list[dict[str, Any]] | None:
    runs = all_runs(server)
    return runs if runs and all(run["finished_at"] for run in runs) else None


def test_no_tick_is_lost_and_none_runs_twice(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    folder = write_function(tmp_path, "ticker", TICKER)
    (folder / "faas.toml").write_text((folder / "faas.toml").read_text() + TRIGGER)
    with Server() as server:
        server.deploy(folder)
        for _ in range(KILLS):
            until(lambda: all_runs(server), "a tick made a run")
            # Around the next full second, before, during or after its commits.
            time.sleep(1 - time.time() % 1 + dice.uniform(-0.01, 0.03))
            server.kill()
            server.start()
        server.cli("triggers", "disable", "ticker", "cron-1").ok()
        runs = until(lambda: ended(server), "all runs have ended", within=60)
        state = server.http.get("/api/v1/functions/ticker/triggers/cron-1").expect(200).json()
    assert all(run["state"] == "succeeded" for run in runs), Counter(run["state"] for run in runs)
    ticks = sorted(datetime.fromisoformat(run["result"]["at"].replace("Z", "+00:00")) for run in runs)
    twice = [tick for tick, count in Counter(ticks).items() if count > 1]
    assert not twice, f"ran twice: {twice}"
    gaps = [later for earlier, later in itertools.pairwise(ticks) if later - earlier != timedelta(seconds=1)]
    assert not gaps, f"a tick is missing before {gaps}"
    assert state["skipped"] == 0 and len(ticks) > KILLS
