"""The network of functions beside other stacks that need no rights of the host."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from .plan import Plan
from .section import Goal, Section, Table, at_least, at_most
from .section import time as shown
from .stacks import HOST, OURS, PASTA, SLIRP, Ask, StackError, far_end, pair
from .surroundings import say


@dataclass
class Figures:
    """Of one stack; samples of all rounds."""

    up_gbit: list[float] = field(default_factory=list)
    down_gbit: list[float] = field(default_factory=list)
    connect_us: list[float] = field(default_factory=list)
    round_trip_us: list[float] = field(default_factory=list)
    beside_upload_us: list[float] = field(default_factory=list)
    beside_download_us: list[float] = field(default_factory=list)

    def add(self, one: Ask, other: Ask, sizes: Sizes) -> None:
        """One round of everything."""
        count = sizes.megabytes << 20
        for ask in (one, other):
            # The first connection of a program is slower than others.
            ask("round_trips", 20)
        self.up_gbit.append(gbit(sizes.megabytes, one("upload", count)))
        self.down_gbit.append(gbit(sizes.megabytes, one("download", count)))
        self.connect_us += one("connects", sizes.connects)
        self.round_trip_us += one("round_trips", sizes.trips)
        for work, samples in (("upload", self.beside_upload_us), ("download", self.beside_download_us)):
            samples += beside(lambda work=work: one(work, count), lambda: other("round_trips", 100), sizes)

    def is_whole(self) -> bool:
        """Whether at least one round came to its end."""
        return bool(self.beside_download_us)

    def row(self) -> dict[str, float]:
        """What the table shows."""
        return {
            "up_gbit": statistics.median(self.up_gbit),
            "down_gbit": statistics.median(self.down_gbit),
            "connect_p50_us": quantile(self.connect_us, 0.5),
            "round_trip_p50_us": quantile(self.round_trip_us, 0.5),
            "neighbour_p99_us": max(quantile(self.beside_upload_us, 0.99), quantile(self.beside_download_us, 0.99)),
        }


@dataclass(frozen=True)
class Sizes:
    """How much is moved."""

    megabytes: int
    connects: int
    trips: int
    neighbour_trips: int

    @staticmethod
    def of(plan: Plan) -> Sizes:
        """A quick run shows that everything works."""
        return Sizes(64, 50, 100, 100) if plan.quick else Sizes(1_500, 1_000, 5_000, 2_000)


def quantile(samples: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    ordered = sorted(samples)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def gbit(megabytes: int, seconds: float) -> float:
    """Gigabits a second."""
    return (megabytes << 20) * 8 / seconds / 1e9


def beside(bulk: Callable[[], Any], trips: Callable[[], list[float]], sizes: Sizes) -> list[float]:
    """Round trips of a neighbour, as many as are wanted, all of them while something else goes on."""
    samples: list[float] = []
    wanted = sizes.neighbour_trips
    with ThreadPoolExecutor(1) as apart:
        while len(samples) < wanted:
            going = apart.submit(bulk)
            while not going.done() and len(samples) < wanted:
                found = trips()
                if not going.done():
                    samples += found
            going.result()
    return samples


def measure(plan: Plan, only: str | None) -> Section:
    """All stacks in turn, round by round."""
    known = [OURS, SLIRP, PASTA, HOST]
    missing = [name for name in (SLIRP, PASTA) if not shutil.which(name)]
    chosen = [name for name in known if name not in missing and (not only or only in name)]
    found = {name: Figures() for name in chosen}
    sizes = Sizes.of(plan)
    failed: list[str] = []
    with far_end() as port:
        for turn in range(plan.rounds):
            for name in chosen:
                say(f"network of {name}, round {turn + 1}")
                try:
                    with pair(name, port) as (one, other):
                        found[name].add(one, other, sizes)
                except StackError as error:
                    # A peer may fail; the page says so.
                    failed.append(f"Network: {name} failed in round {turn + 1}: {error}.")
                    say(failed[-1])
    rows = {name: figures.row() for name, figures in found.items() if figures.is_whole()}
    notes = [
        f"Network: {name} is not installed here (`scripts/setup bench` does it), so that it has no row."
        for name in missing
    ] + failed
    notes.append(
        "Network: all stacks have an MTU of 65,520 and run the same program against the same far end on this machine; "
        "that of faas is a function, the others' a plain process in a network namespace. Ours asks the server about "
        "each connection, which checks and opens it."
    )
    text = (
        f"One program sends and takes {sizes.megabytes:,} MB, connects {sizes.connects:,} times and exchanges 64 bytes "
        f"{sizes.trips:,} times in each round; the median of {plan.rounds}, and quantiles of all rounds. The last "
        "column is a neighbour's round trip beside a bulk transfer of the first, the worse of both directions."
    )
    head = ("stack", "up", "down", "connect, p50", "round trip, p50", "a neighbour's round trip, p99")
    table = Table(head, [cells(name, row) for name, row in rows.items()])
    return Section(
        "network", "Functions that reach other machines", text, [table], goals(rows), notes=notes, figures=rows
    )


def cells(name: str, row: dict[str, float]) -> tuple[str, ...]:
    """One line of the table."""
    speeds = [f"{row[key]:.1f} Gbit/s" for key in ("up_gbit", "down_gbit")]
    return (name, *speeds, *(shown(row[key]) for key in ("connect_p50_us", "round_trip_p50_us", "neighbour_p99_us")))


def goals(rows: dict[str, dict[str, float]]) -> list[Goal]:
    """What is wanted of ours."""
    if OURS not in rows:
        return []
    ours, slirp = rows[OURS], rows.get(SLIRP)
    judged = [
        at_most(
            "network: a neighbour's round trip beside a bulk transfer, p99", ours["neighbour_p99_us"] / 1000, 3, " ms"
        ),
    ]
    if slirp:
        up, down = (ours[key] / slirp[key] for key in ("up_gbit", "down_gbit"))
        judged.insert(0, at_least("network: bytes sent, of slirp4netns", up, 2, " ×"))
        judged.insert(1, at_least("network: bytes received, of slirp4netns", down, 1.7, " ×"))
        # 150 µs where slirp4netns takes 88: the same connection takes twice as long on some machines, in every stack.
        connect = ours["connect_p50_us"] / slirp["connect_p50_us"]
        judged.insert(2, at_most("network: a connection, p50, of slirp4netns", connect, 1.7, " ×"))
    return judged
