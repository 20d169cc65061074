"""Starts from nothing: ours through HTTP, and what else starts the same runtime."""

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
BWRAP = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]


@dataclass(frozen=True)
class ColdRow:
    """One way to start a runtime."""

    name: str
    isolation: str
    latency: Latency
    # The row that its ratio is to.
    base: str


@dataclass(frozen=True)
class Contest:
    """One of our applications, and what else starts its runtime."""

    app: str
    runtime: str
    ours: str
    bare: str
    peers: dict[str, tuple[list[str], str]]


def contests() -> list[Contest]:
    """Python, and Node where it is installed."""
    python = str(interpreter())
    bare = "bare `python3 -I -S -c pass`"
    peers = {bare: ([python, *NOTHING], "none: a plain process")}
    if shutil.which("bwrap"):
        isolation = "namespaces; no seccomp, no limits, host's files"
        peers["`bwrap` + the same Python"] = ([*BWRAP, python, *NOTHING], isolation)
    found = [Contest("ours", interpreter().name, "faas, Python: HTTP request to response", bare, peers)]
    if node := shutil.which("node"):
        release = subprocess.run(
            [node, "-p", "process.versions.node"], capture_output=True, text=True, check=True
        ).stdout
        bare = "bare `node -e 0`"
        peers = {bare: ([node, "-e", "0"], "none: a plain process")}
        runtime = f"node{release.partition('.')[0]}"
        found.append(Contest("ours_node", runtime, "faas, Node: HTTP request to response", bare, peers))
    return found


def cold_starts(ours: Ours, level: str, plan: Plan) -> list[ColdRow]:
    """Alternates between all ways, each after a pause, so that no way has the quieter minutes."""
    return [row for contest in contests() for row in _compete(ours, contest, level, plan)]


def _compete(ours: Ours, contest: Contest, level: str, plan: Plan) -> list[ColdRow]:
    ways = contest.peers
    samples: dict[str, list[float]] = {name: [] for name in (contest.ours, *ways)}
    # Of a runtime that deployed functions use, some wait.
    kind = contest.runtime.replace(".", "-")
    ours.deploy(contest.app, f"kept-{kind}", runtime=contest.runtime)
    for number in range(plan.cold_starts):
        name = f"cold-{kind}-{number}"
        ours.deploy(contest.app, name, runtime=contest.runtime)
        time.sleep(plan.idle_gap_s)
        samples[contest.ours].append(_first_call(ours, name))
        ours.cli("fn", "delete", name, "--yes")
        for way, (command, _) in ways.items():
            time.sleep(plan.idle_gap_s)
            samples[way].append(_start(command))
    rows = [ColdRow(contest.ours, level, Latency.of(samples[contest.ours]), contest.bare)]
    return rows + [ColdRow(way, ways[way][1], Latency.of(samples[way]), contest.bare) for way in ways]


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
                resident = _tree_rss_mb(process.pid)
    finally:
        fresh.remove()
    return ServerFigures(statistics.median(times[1:]), resident)


def _tree_rss_mb(root: int) -> float:
    """Resident memory of the process and its descendants."""
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        with open(f"/proc/{pid}/statm") as statm:
            total += int(statm.read().split()[1]) * 4096
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            todo += [int(child) for child in children.read().split()]
    return total / (1 << 20)
