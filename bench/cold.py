"""Starts from nothing: ours through HTTP, and what else starts a Python."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass

from .plan import Plan
from .probe import Latency, Probe
from .surroundings import clean_env, interpreter
from .targets import Ours, running

NOTHING = ["-I", "-S", "-c", "pass"]


@dataclass(frozen=True)
class ColdRow:
    """One way to start a Python."""

    name: str
    isolation: str
    latency: Latency


def cold_starts(ours: Ours, level: str, plan: Plan) -> list[ColdRow]:
    """Alternates between all ways, each after a pause, so that no way has the quieter minutes."""
    python = str(interpreter())
    ways = {"bare `python3 -I -S -c pass`": ([python, *NOTHING], "none: a plain process")}
    if shutil.which("bwrap"):
        bwrap = [
            "bwrap",
            "--unshare-all",
            "--die-with-parent",
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
        ]
        isolation = "namespaces; no seccomp, no limits, host's files"
        ways["`bwrap` + the same Python"] = ([*bwrap, python, *NOTHING], isolation)
    samples: dict[str, list[float]] = {name: [] for name in ("ours", *ways)}
    for number in range(plan.cold_starts):
        name = f"cold-{number}"
        ours.deploy("ours", name)
        time.sleep(plan.idle_gap_s)
        samples["ours"].append(_first_call(ours, name))
        ours.cli("fn", "delete", name, "--yes")
        for way, (command, _) in ways.items():
            time.sleep(plan.idle_gap_s)
            samples[way].append(_start(command))
    rows = [ColdRow("faas: HTTP request to response, nothing running", level, Latency.of(samples["ours"]))]
    return rows + [ColdRow(way, ways[way][1], Latency.of(samples[way])) for way in ways]


def _first_call(ours: Ours, name: str) -> float:
    """The first call that a function ever gets: no instance of it exists, as the answer itself must say."""
    with Probe(ours.port, f"/fn/{name}/", {"X-API-Key": ours.key}) as probe:
        took, head = probe.call()
    if "x-cold-start: true" not in head.lower():
        raise RuntimeError(f"the first call of {name} was not cold:\n{head}")
    return took


def _start(command: list[str]) -> float:
    began = time.perf_counter_ns()
    subprocess.run(command, env=clean_env(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter_ns() - began) / 1000


@dataclass(frozen=True)
class ServerFigures:
    """What the server itself costs."""

    ready_ms: float
    idle_rss_mb: float


def server_itself(ours: Ours) -> ServerFigures:
    """Starts it five times over a data directory of its own, as a restart does, and looks at it at rest."""
    fresh = Ours(ours.binary)
    times, resident = [], 0.0
    try:
        for _ in range(6):
            began = time.monotonic()
            with running(fresh.command(), fresh.port, "/readyz", **fresh.env) as process:
                times.append((time.monotonic() - began) * 1000)
                time.sleep(1)
                resident = tree_rss_mb(process.pid)
    finally:
        fresh.remove()
    return ServerFigures(statistics.median(times[1:]), resident)


def tree_rss_mb(root: int) -> float:
    """Resident memory of the process and its descendants."""
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        with open(f"/proc/{pid}/statm") as statm:
            total += int(statm.read().split()[1]) * 4096
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            todo += [int(child) for child in children.read().split()]
    return total / (1 << 20)
