"""Runs for later: how fast they are durably accepted, and how fast they end, beside queues on Redis."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Protocol

from .accept import COUNTED_S, Accepts, OurQueue, our_queue
from .broker import redis_server
from .peers import ARQ, CELERY, PeerQueue, peers
from .plan import Plan
from .section import Bar, Goal, Panel, Section, Table, at_least, time
from .surroundings import say
from .wrk import WrongAnswerError

CLIENTS = (1, 16, 64)
MOST = CLIENTS[-1]
# Of each of them, each round: six queues on two disks take their time.
SECONDS = 1
SLOW_MS = 1.0
ACCEPTS, RUNS, TO_ARQ, TO_CELERY = 15_000, 5_000, 2, 4


class Queue(Protocol):
    """Whatever takes jobs for later."""

    name: str
    is_ours: bool

    def accept(self, clients: int, seconds: int) -> Accepts: ...

    def end_to_end(self, clients: int, seconds: int) -> float: ...


@dataclass
class Figures:
    """Of one queue, round by round."""

    ours: bool
    accepts: dict[int, list[Accepts]] = field(default_factory=lambda: {clients: [] for clients in CLIENTS})
    ends: list[float] = field(default_factory=list)

    def at(self, clients: int) -> Accepts:
        """Medians."""
        taken = self.accepts[clients]
        middle = (statistics.median(getattr(one, name) for one in taken) for name in ("per_second", "p50_us", "p99_us"))
        return Accepts(*middle)

    @property
    def ended(self) -> float:
        """Median."""
        return statistics.median(self.ends)


def measure(plan: Plan, only: str | None) -> Section:
    """First on the disk as it is, then on a slower one."""
    fast = _measure(plan, only, 0.0)
    slow = _measure(plan, only, SLOW_MS)
    for name, figures in slow.items():
        if figures.at(1).p50_us < SLOW_MS * 1000:
            raise WrongAnswerError(f"{name} accepts faster than its disk writes: the delay does not reach it")
    return _section(plan, fast, slow)


def _measure(plan: Plan, only: str | None, fsync_ms: float) -> dict[str, Figures]:
    with _queues(only, fsync_ms) as queues:
        all_figures = {queue.name: Figures(queue.is_ours) for queue in queues}
        for number in range(plan.rounds):
            for queue in queues:
                say(f"round {number + 1} of {plan.rounds}, fsync + {fsync_ms:g} ms: {queue.name}")
                figures = all_figures[queue.name]
                for clients in CLIENTS:
                    figures.accepts[clients].append(queue.accept(clients, SECONDS))
                if not fsync_ms:
                    figures.ends.append(queue.end_to_end(MOST, SECONDS))
    return all_figures


@contextmanager
def _queues(only: str | None, fsync_ms: float) -> Iterator[list[Queue]]:
    """All at once; jobs go to one at a time, and only its workers run then."""
    with ExitStack() as stack:
        queues: list[Queue] = []
        if _wanted(OurQueue.name, only):
            queues.append(stack.enter_context(our_queue(fsync_ms)))
        wanted = [peer for peer in peers() if _wanted(peer.name, only)]
        redis = stack.enter_context(redis_server(fsync_ms)) if wanted else None
        queues += [PeerQueue(peer, redis, stack) for peer in wanted]
        yield queues


def _wanted(name: str, only: str | None) -> bool:
    return not only or only.lower() in name.lower()


# === the section ===


def _section(plan: Plan, fast: dict[str, Figures], slow: dict[str, Figures]) -> Section:
    text = (
        f"A job that does nothing is handed over again and again by 1, 16 and 64 callers for {SECONDS} s, "
        f"{plan.rounds} rounds over all queues in turn, medians. *Accepted* means that the job is fsynced and the "
        f"caller knows. End to end: jobs that have ended a second, from the first hand-over of {MOST} callers until "
        f"all have ended, or for {COUNTED_S} s. The second table is for a disk whose every fsync takes {SLOW_MS:g} ms "
        "longer: a library in front of the C library waits before it."
    )
    clients = tuple(f"c={clients}" for clients in CLIENTS)
    ends = (f"p50, c={CLIENTS[0]}", f"p99, c={MOST}")
    tables = [
        Table(("accepted/s", *clients, *ends, "end to end/s"), [_row(name, one) for name, one in fast.items()]),
        Table(
            (f"fsync + {SLOW_MS:g} ms, accepted/s", *clients, *ends), [_row(name, one) for name, one in slow.items()]
        ),
    ]
    figures = {"fast": _numbers(fast), "slow": _numbers(slow)}
    goals, panels = _goals(fast), [_accepts(fast), _ends(fast)]
    return Section("queue", "Runs for later", text, tables, goals, panels, _notes(), figures)


def _row(name: str, figures: Figures) -> tuple[str, ...]:
    rates = (f"{figures.at(clients).per_second:,.0f}" for clients in CLIENTS)
    ended = (f"{figures.ended:,.0f}",) if figures.ends else ()
    return name, *rates, time(figures.at(CLIENTS[0]).p50_us), time(figures.at(MOST).p99_us), *ended


def _goals(rows: dict[str, Figures]) -> list[Goal]:
    own = next((figures for figures in rows.values() if figures.ours), None)
    if own is None:
        return []
    rate, goals = own.at(MOST).per_second, []
    goals.append(at_least(f"durably accepted runs at c={MOST}", rate, ACCEPTS, "/s"))
    for peer, wanted in ((ARQ, TO_ARQ), (CELERY, TO_CELERY)):
        for name, figures in rows.items():
            if name.startswith(peer):
                goals.append(at_least(f"the same, to {peer}", rate / figures.at(MOST).per_second, wanted, " ×"))
    goals.append(at_least("runs from acceptance to end", own.ended, RUNS, "/s"))
    return goals


def _accepts(rows: dict[str, Figures]) -> Panel:
    bars = [_bar(name, figures.at(MOST).per_second, figures) for name, figures in rows.items()]
    return Panel("Jobs durably accepted a second", f"{MOST} callers; longer is better", bars, ACCEPTS)


def _ends(rows: dict[str, Figures]) -> Panel:
    bars = [_bar(name, figures.ended, figures) for name, figures in rows.items()]
    return Panel("Jobs a second, end to end", f"{MOST} callers, a worker for each core; longer is better", bars, RUNS)


def _bar(name: str, value: float, figures: Figures) -> Bar:
    return Bar(name, value, f"{value / 1000:.1f}k", figures.ours)


def _notes() -> list[str]:
    told = "; ".join(f"{peer.name}: {peer.note}" for peer in peers())
    return [
        "Queues: all have a worker process for each core, ours in sandboxes. Redis runs with `appendfsync always`. The "
        "peers' callers use their own library in two processes, with no HTTP in between; ours are wrk, with a key. "
        "Ours keeps the input, the record and the log of every run, the peers keep nothing of a job that has ended.",
        f"Workers: {told}.",
    ]


def _numbers(rows: dict[str, Figures]) -> dict[str, object]:
    return {
        name: {"accepts": {str(clients): asdict(figures.at(clients)) for clients in CLIENTS}}
        | ({"end_to_end": figures.ended} if figures.ends else {})
        for name, figures in rows.items()
    }
