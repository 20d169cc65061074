"""Calls to what runs already: throughput, one connection, and after a pause."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass

from .plan import Plan
from .probe import Latency, Probe, after_idle
from .section import Bar, Goal, Panel, Section, Table, at_least, at_most, quantiles, ratio
from .surroundings import say
from .targets import (
    FASTAPI_TWO,
    FUNCTIONS,
    FUNCTIONS_NODE,
    NODE_HANDLER,
    NODE_HTTP,
    PLAIN_HANDLER,
    RAW,
    Target,
    everything,
)
from .wrk import Throughput, load

# Design goals of warm throughput: how many times a peer's rate ours should be.
RATE_GOALS = ((FASTAPI_TWO, 1.5), (FUNCTIONS, 7.0), (RAW, 0.75))
ADDED_US = 50.0


@dataclass(frozen=True)
class Row:
    """All that was measured of one target; medians over the rounds."""

    target: Target
    many: Throughput
    one: Throughput
    idle: Latency


def measure(plan: Plan, only: str | None) -> Section:
    """Everything, target by target."""
    with everything(only) as targets:
        for target in targets:
            _warm_up(target, plan)
        loads = _rounds(targets, plan)
        rows = []
        for target in targets:
            say(f"after a pause: {target.name}")
            idle = after_idle(target.port, target.path, target.headers, plan)
            rows.append(Row(target, *loads[target.name], idle))
    return _section(rows, plan)


def _warm_up(target: Target, plan: Plan) -> None:
    say(f"warming up {target.name}")
    with Probe(target.port, target.path, target.headers) as probe:
        for _ in range(plan.warm_up_calls):
            probe.call()


def _rounds(targets: list[Target], plan: Plan) -> dict[str, tuple[Throughput, Throughput]]:
    """Load on each in turn, round after round, so that a slow minute hits all of them."""
    many: dict[str, list[Throughput]] = {target.name: [] for target in targets}
    one: dict[str, list[Throughput]] = {target.name: [] for target in targets}
    for number in range(plan.rounds):
        for target in targets:
            say(f"round {number + 1} of {plan.rounds}: {target.name}")
            many[target.name].append(load(target.url, target.headers, plan.connections, plan))
            one[target.name].append(load(target.url, target.headers, 1, plan))
    return {target.name: (_median(many[target.name]), _median(one[target.name])) for target in targets}


def _median(runs: list[Throughput]) -> Throughput:
    def middle(pick: str) -> float:
        return statistics.median(getattr(run.latency, pick) for run in runs)

    latency = Latency(middle("p50_us"), middle("p95_us"), middle("p99_us"))
    rate, p999 = (statistics.median(getattr(run, pick) for run in runs) for pick in ("per_second", "p999_us"))
    return Throughput(rate, latency, p999)


# === the section ===


def _section(rows: list[Row], plan: Plan) -> Section:
    by_name = {row.target.name: row for row in rows}
    text = (
        f"The same JSON reply everywhere. `wrk` with {plan.connections} connections, then with one; {plan.seconds} s "
        f"each, {plan.rounds} rounds over all targets in turn, medians. Ratios are to {RAW} for Python and to "
        f"{NODE_HTTP} for Node and workerd. In the second table the last three columns are calls with "
        f"{plan.idle_gap_s * 1000:.0f} ms of silence before each of {plan.idle_calls}, which is what a visitor feels."
    )
    times = ("p50", "p95", "p99")
    load_head = (f"c={plan.connections}", "calls/s", "ratio", *times)
    one_head = ("c=1", *times, "ratio of p50", *(f"after a pause {word}" for word in times))
    tables = [
        Table(load_head, [_under_load(row, by_name) for row in rows]),
        Table(one_head, [_alone(row, by_name) for row in rows]),
    ]
    goals, panels = _goals(by_name, plan), [_panel(rows, plan)]
    figures = {row.target.name: _figures(row) for row in rows}
    return Section("warm", "Warm calls", text, tables, goals, panels, _isolation(rows), figures)


def _under_load(row: Row, rows: dict[str, Row]) -> tuple[str, ...]:
    base = rows.get(_base(row.target.name))
    rate = row.many.per_second
    share = ratio(rate, base and base.many.per_second)
    return row.target.name, f"{rate:,.0f}", share, *quantiles(row.many.latency)


def _alone(row: Row, rows: dict[str, Row]) -> tuple[str, ...]:
    base = rows.get(_base(row.target.name))
    share = ratio(row.one.latency.p50_us, base and base.one.latency.p50_us)
    return row.target.name, *quantiles(row.one.latency), share, *quantiles(row.idle)


def _base(name: str) -> str:
    return NODE_HTTP if name in (NODE_HANDLER, NODE_HTTP, FUNCTIONS_NODE, "workerd") else RAW


def _goals(rows: dict[str, Row], plan: Plan) -> list[Goal]:
    goals = []
    own, raw = rows.get(PLAIN_HANDLER), rows.get(RAW)
    for name, wanted in RATE_GOALS:
        if own and (peer := rows.get(name)):
            what = f"warm calls/s at c={plan.connections}, to {name}"
            goals.append(at_least(what, own.many.per_second / peer.many.per_second, wanted, " ×"))
    if own and raw:
        added = own.one.latency.p50_us - raw.one.latency.p50_us
        goals.append(at_most(f"warm p50 at c=1, over {RAW}", added, ADDED_US, " µs"))
    return goals


def _panel(rows: list[Row], plan: Plan) -> Panel:
    bars = [Bar(r.target.name, r.many.per_second, f"{r.many.per_second / 1000:.1f}k", r.target.ours) for r in rows]
    note = f"{plan.connections} connections on {plan.threads} threads; longer is better"
    return Panel("Warm calls a second", note, bars)


def _isolation(rows: list[Row]) -> list[str]:
    lines = []
    for isolation in dict.fromkeys(row.target.isolation for row in rows):
        names = "; ".join(row.target.name for row in rows if row.target.isolation == isolation)
        lines.append(f"Isolation of {names}: **{isolation}**.")
    return lines


def _figures(row: Row) -> dict[str, object]:
    return {
        "many": asdict(row.many),
        "one": asdict(row.one),
        "idle": asdict(row.idle),
        "isolation": row.target.isolation,
    }
