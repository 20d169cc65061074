"""Two binaries of ours in turn: what a change costs or saves.

A machine is faster in one minute than in the next, so that figures of two runs cannot be compared. Here each round
measures both, one right after the other, the first in one round being the second in the next; what counts is the ratio
within a round. Processor time of a call is the steadiest of the figures.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .accept import OurQueue
from .cold import FirstCalls, languages
from .ours import Ours
from .plan import Plan
from .probe import Latency
from .running import running
from .section import Section, Table
from .server import tree_rss_mb
from .surroundings import TARGET, say
from .used import Used, wake_ups
from .wrk import load

FUNCTION = "compared"
ACCEPT_CLIENTS = 32
# The unit of each figure; of all but the first, less is better.
UNITS = {
    "calls/s": "/s",
    "server µs/call": "µs",
    "functions µs/call": "µs",
    "server ms/s": "ms",
    "resident": "MB",
    "wake-ups/s": "/s",
}

Figures = dict[str, float]


@dataclass
class Side:
    """One of the two: a server with everything deployed that is measured."""

    name: str
    ours: Ours
    pid: int
    queue: OurQueue
    first: FirstCalls


def compare(old: Path, new: Path, plan: Plan) -> Section:
    """All parts, round by round, both binaries in each."""
    with ExitStack() as stack:
        sides = [stack.enter_context(_side(name, binary)) for name, binary in (("old", old), ("new", new))]
        rounds: dict[str, list[dict[str, Figures]]] = {part: [] for part in PARTS}
        for number in range(plan.against_rounds):
            for part, measure in PARTS.items():
                turn = sides if number % 2 == 0 else sides[::-1]
                say(f"round {number + 1} of {plan.against_rounds}: {part}, {turn[0].name} first")
                rounds[part].append({side.name: measure(side, plan) for side in turn})
    figures = {"old": str(old), "new": str(new), "rounds": rounds}
    (TARGET / "bench").mkdir(parents=True, exist_ok=True)
    (TARGET / "bench/against.json").write_text(json.dumps(figures, indent=1))
    return _section(rounds, plan, old, new)


@contextmanager
def _side(name: str, binary: Path) -> Iterator[Side]:
    ours = Ours(binary.resolve())
    try:
        with running(ours.command(), ours.port, "/readyz", **ours.env) as process:
            ours.deploy("ours", FUNCTION)
            ours.cli("invoke", FUNCTION, "-d", "{}")
            python = languages()[0]
            yield Side(name, ours, process.pid, OurQueue(ours), FirstCalls(ours, python))
    finally:
        ours.remove()


# === parts ===


def _warm(connections: int) -> Callable[[Side, Plan], Figures]:
    def measure(side: Side, plan: Plan) -> Figures:
        url, headers = f"http://127.0.0.1:{side.ours.port}/fn/{FUNCTION}/", {"X-API-Key": side.ours.key}
        # Instances that the load asks for start before anything is counted.
        load(url, headers, connections, replace(plan, seconds=1))
        before = Used.by(side.pid)
        done = load(url, headers, connections, plan)
        server, functions = Used.by(side.pid).since(before)
        calls = done.per_second * plan.seconds
        times = {"p50": done.latency.p50_us, "p99": done.latency.p99_us, "p99.9": done.p999_us}
        cost = {"server µs/call": server / calls, "functions µs/call": functions / calls}
        return {"calls/s": done.per_second} | cost | times

    return measure


def _cold(side: Side, plan: Plan) -> Figures:
    samples = []
    for _ in range(plan.against_starts):
        time.sleep(plan.idle_gap_s)
        samples.append(side.first.call())
    latency = Latency.of(samples)
    return {"p50": latency.p50_us, "p99": latency.p99_us}


def _accept(side: Side, plan: Plan) -> Figures:
    before = Used.by(side.pid)
    done = side.queue.accept(ACCEPT_CLIENTS, plan.seconds)
    server, _ = Used.by(side.pid).since(before)
    cost = {"server µs/call": server / (done.per_second * plan.seconds)}
    return {"calls/s": done.per_second} | cost | {"p50": done.p50_us, "p99": done.p99_us}


def _idle(side: Side, plan: Plan) -> Figures:
    time.sleep(0.5)
    before, woken = Used.by(side.pid), wake_ups(side.pid)
    time.sleep(plan.seconds)
    server, _ = Used.by(side.pid).since(before)
    return {
        "server ms/s": server / 1_000 / plan.seconds,
        "wake-ups/s": (wake_ups(side.pid) - woken) / plan.seconds,
        "resident": tree_rss_mb(side.pid),
    }


PARTS: dict[str, Callable[[Side, Plan], Figures]] = {
    "warm, 32 connections": _warm(32),
    "warm, 1 connection": _warm(1),
    "cold": _cold,
    "accept, 32 clients": _accept,
    "idle": _idle,
}


# === the table ===


def _section(rounds: dict[str, list[dict[str, Figures]]], plan: Plan, old: Path, new: Path) -> Section:
    rows = [row for part, some in rounds.items() for row in _rows(part, some)]
    table = Table(("part", "figure", "old", "new", "new to old", "in the rounds"), rows)
    text = (
        f"`{old}` and `{new}`, in turn in each of {plan.against_rounds} rounds of {plan.seconds} s. Old and new are "
        "medians, the ratio is the median of the ratios within a round, the last column their quartiles and extremes."
    )
    return Section("against", "One binary against another", text, [table], figures={"rounds": rounds})


def _rows(part: str, some: list[dict[str, Figures]]) -> list[tuple[str, ...]]:
    rows = []
    for figure in some[0]["old"]:
        old, new = ([each[side][figure] for each in some] for side in ("old", "new"))
        ratios = sorted(b / a for a, b in zip(old, new, strict=True) if a)
        cells = [f"{statistics.median(values):,.1f} {UNITS.get(figure, 'µs')}" for values in (old, new)]
        rows.append((part, figure, *cells, *_spread(ratios)))
    return rows


def _spread(ratios: list[float]) -> tuple[str, str]:
    if not ratios:
        return "–", "–"
    low, high = (
        (statistics.quantiles(ratios, n=4, method="inclusive")[at] for at in (0, 2)) if ratios[1:] else ratios * 2
    )
    return f"{statistics.median(ratios):.3f}", f"{low:.3f} to {high:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
