"""The page and the figures behind it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

from .cold import ColdRow, ServerFigures
from .plan import Plan
from .probe import Latency
from .targets import Target
from .wrk import Throughput

TEMPLATE = Path(__file__).parent / "page.md.in"
OURS, RAW = "faas, plain handler", "uvicorn, raw ASGI, 1 worker"
FASTAPI_TWO, FUNCTIONS = "uvicorn + FastAPI (async def), 2 workers", "functions-framework"
# Design goals of warm throughput: how many times a peer's rate ours should be.
RATE_GOALS = ((FASTAPI_TWO, 1.5), (FUNCTIONS, 7.0), (RAW, 0.75))


# Design goals of cold starts: how many times the p50 of the bare runtime a quantile may be.
COLD_GOALS = (("Python", "p50", 1.0), ("Python", "p99", 2.0), ("Node", "p50", 0.5))


@dataclass(frozen=True)
class Row:
    """All that was measured of one target; medians over the rounds."""

    target: Target
    many: Throughput
    one: Throughput
    idle: Latency


@dataclass(frozen=True)
class Results:
    """One run."""

    machine: dict[str, str]
    plan: Plan
    rows: list[Row]
    cold: list[ColdRow]
    server: ServerFigures

    def row(self, name: str) -> Row | None:
        """The row of a target, if it was measured."""
        return next((row for row in self.rows if row.target.name == name), None)


def write_json(results: Results, path: Path) -> None:
    """The figures, for programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = asdict(results)
    for row in data["rows"]:
        row["target"].pop("headers")
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def write_page(results: Results, path: Path) -> None:
    """The page, for people."""
    plan, server = results.plan, results.server
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        results.machine,
        raw=RAW,
        connections=plan.connections,
        seconds=plan.seconds,
        rounds=plan.rounds,
        gap_ms=f"{plan.idle_gap_s * 1000:.0f}",
        idle_calls=plan.idle_calls,
        cold_starts=plan.cold_starts,
        ready_ms=f"{server.ready_ms:.0f}",
        rss_mb=f"{server.idle_rss_mb:.0f}",
        goals="\n".join(_goals(results)),
        warm="\n".join(_warm(results)),
        idle="\n".join(_idle(results)),
        cold="\n".join(_cold(results)),
        isolation="\n".join(_isolation(results)),
    )
    path.write_text(text, encoding="utf-8")


def _warm(results: Results) -> list[str]:
    base = results.row(RAW)
    return [
        _line(
            row.target.name,
            f"{row.many.per_second:,.0f}",
            _ratio(row.many.per_second, base and base.many.per_second),
            _time(row.many.p99_us),
            _time(row.one.p50_us),
            _ratio(row.one.p50_us, base and base.one.p50_us),
        )
        for row in results.rows
    ]


def _idle(results: Results) -> list[str]:
    return [_line(row.target.name, *_quantiles(row.idle)) for row in results.rows]


def _cold(results: Results) -> list[str]:
    return [
        _line(row.name, *_quantiles(row.latency), _ratio(row.latency.p50_us, _bare(results, row)), row.isolation)
        for row in results.cold
    ]


def _bare(results: Results, row: ColdRow) -> float:
    return next(other.latency.p50_us for other in results.cold if other.name == row.base)


def _goals(results: Results) -> list[str]:
    lines = []
    ours, raw = results.row(OURS), results.row(RAW)
    for name, goal in RATE_GOALS:
        peer = results.row(name)
        if ours and peer:
            ratio = ours.many.per_second / peer.many.per_second
            what = f"warm calls/s, c={results.plan.connections}, to {name}"
            lines.append(_line(what, f"≥ {goal:g} ×", f"{ratio:.2f} ×", _verdict(ratio >= goal)))
    if ours and raw:
        added = ours.one.p50_us - raw.one.p50_us
        lines.append(_line("added at one connection, p50", "≤ 50 µs", f"{added:.0f} µs", _verdict(added <= 50)))
    for row in results.cold:
        for language, quantile, goal in COLD_GOALS:
            if row.name.startswith(f"faas, {language}"):
                ratio = getattr(row.latency, f"{quantile}_us") / _bare(results, row)
                what = f"cold start of {language} {quantile}, to the bare runtime's p50"
                lines.append(_line(what, f"≤ {goal:g} ×", f"{ratio:.2f} ×", _verdict(ratio <= goal)))
    ready, rss = results.server.ready_ms, results.server.idle_rss_mb
    lines.append(_line("server ready", "< 300 ms", f"{ready:.0f} ms", _verdict(ready < 300)))
    lines.append(_line("server at rest", "< 60 MB", f"{rss:.0f} MB", _verdict(rss < 60)))
    return lines


def _isolation(results: Results) -> list[str]:
    lines = []
    for isolation in dict.fromkeys(row.target.isolation for row in results.rows):
        names = [row.target.name for row in results.rows if row.target.isolation == isolation]
        lines.append(f"- Isolation of {'; '.join(names)}: **{isolation}**.")
    return lines


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _quantiles(latency: Latency) -> list[str]:
    return [_time(value) for value in (latency.p50_us, latency.p95_us, latency.p99_us)]


def _ratio(value: float, base: float | None) -> str:
    return f"{value / base:.2f}" if base else "–"


def _time(microseconds: float) -> str:
    return f"{microseconds:.0f} µs" if microseconds < 1000 else f"{microseconds / 1000:.1f} ms"


def _verdict(reached: bool) -> str:
    return "reached" if reached else "not yet"
