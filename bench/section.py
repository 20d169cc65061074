"""What every part of the bench hands in: tables, goals and figures. The page is made of these and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .probe import Latency


@dataclass(frozen=True)
class Goal:
    """What was wanted, what came of it."""

    what: str
    wanted: str
    here: str
    reached: bool


@dataclass(frozen=True)
class Table:
    """One table of the page."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Bar:
    """One bar of the plot. Ours are drawn in another colour than the peers."""

    name: str
    value: float
    text: str
    ours: bool = False


@dataclass(frozen=True)
class Panel:
    """Bars that belong together; the goal, if there is one, is a line across them."""

    title: str
    note: str
    bars: list[Bar]
    goal: float | None = None


@dataclass(frozen=True)
class Section:
    """A part of the page, from one part of the run."""

    name: str
    title: str
    text: str
    tables: list[Table]
    goals: list[Goal] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


def at_most(what: str, value: float, limit: float, unit: str) -> Goal:
    """A goal from above."""
    return Goal(what, f"≤ {limit:g}{unit}", f"{_short(value)}{unit}", value <= limit)


def at_least(what: str, value: float, limit: float, unit: str) -> Goal:
    """A goal from below."""
    return Goal(what, f"≥ {limit:g}{unit}", f"{_short(value)}{unit}", value >= limit)


def time(microseconds: float) -> str:
    """For people."""
    return f"{microseconds:.0f} µs" if microseconds < 1000 else f"{microseconds / 1000:.1f} ms"


def quantiles(latency: Latency) -> tuple[str, str, str]:
    """Three cells."""
    return time(latency.p50_us), time(latency.p95_us), time(latency.p99_us)


def ratio(value: float, base: float | None) -> str:
    """A cell; empty without a base."""
    return f"{value / base:.2f}" if base else "–"


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
