"""What the server itself costs, with nothing to do."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from .ours import Ours, binary
from .plan import Plan
from .running import running
from .section import Section, Table, at_most

READY_MS, REST_MB = 300.0, 60.0


def measure(plan: Plan, only: str | None) -> Section:
    """Starts it several times over one data directory, as a restart does, and looks at it at rest."""
    fresh = Ours(binary())
    times, resident = [], 0.0
    try:
        for _ in range(plan.restarts):
            began = time.monotonic()
            with running(fresh.command(), fresh.port, "/readyz", **fresh.env) as process:
                times.append((time.monotonic() - began) * 1000)
                time.sleep(0.2 if plan.quick else 2)
                resident = tree_rss_mb(process.pid)
    finally:
        fresh.remove()
    ready = statistics.median(times[1:])
    table = Table(("what", "here"), [("ready after", f"{ready:.0f} ms"), ("resident at rest", f"{resident:.0f} MB")])
    text = f"Median of {len(times) - 1} restarts over one data directory; memory with all helper processes."
    goals = [at_most("server ready", ready, READY_MS, " ms"), at_most("server at rest", resident, REST_MB, " MB")]
    return Section(
        "server", "The server itself", text, [table], goals, figures={"ready_ms": ready, "rest_mb": resident}
    )


def tree_rss_mb(root: int) -> float:
    """Resident memory of the process and its descendants."""
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        try:
            with open(f"/proc/{pid}/statm") as statm:
                total += int(statm.read().split()[1]) * 4096
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                todo += [int(child) for child in children.read_text().split()]
        except OSError:
            continue
    return total / (1 << 20)
