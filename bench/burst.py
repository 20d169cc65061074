"""From nothing to a thousand calls at once of a function that sleeps, while another function is called all the time."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import asdict, dataclass

from .ours import Ours, serving
from .plan import Plan
from .probe import Latency, Probe
from .section import Section, Table, at_least, at_most, quantiles

BURST, BYSTANDER = "burst", "bystander"
CALLS = 1000
GOAL_S, GOAL_BYSTANDER_MS = 10, 100
PATIENCE_S = 120
# Between two calls of the bystander.
PAUSE_S = 0.01


@dataclass(frozen=True)
class BurstFigures:
    """One burst."""

    calls: int
    answered: int
    refused: dict[str, int]
    cold: int
    seconds: float
    bystander_calls: int
    bystander: Latency


class Bystander:
    """Calls a warm function again and again until told to stop."""

    def __init__(self, ours: Ours) -> None:
        self.samples: list[float] = []
        self._ours, self._stop = ours, threading.Event()
        self._thread = threading.Thread(target=self._call)

    def __enter__(self) -> Bystander:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _call(self) -> None:
        with Probe(self._ours.port, f"/fn/{BYSTANDER}/", {"X-API-Key": self._ours.key}) as probe:
            while not self._stop.wait(PAUSE_S):
                self.samples.append(probe.call()[0])


def burst(ours: Ours, calls: int) -> BurstFigures:
    """Deploys both functions and lets the calls loose at once. Nothing of the first one runs before."""
    ours.deploy("sleeper", BURST, "timeout = 60\n[scaling]\nmax = 1000\n")
    ours.deploy("ours", BYSTANDER)
    with Bystander(ours) as bystander:
        while len(bystander.samples) < 50:
            time.sleep(0.1)
        bystander.samples.clear()
        began = time.perf_counter()
        heads = asyncio.run(_all_at_once(ours, calls))
        seconds = time.perf_counter() - began
    statuses = [head.split(" ", 2)[1] if head else "cut" for head in heads]
    return BurstFigures(
        calls=calls,
        answered=statuses.count("200"),
        refused={status: statuses.count(status) for status in sorted(set(statuses) - {"200"})},
        cold=sum("x-cold-start: true" in head.lower() for head in heads),
        seconds=seconds,
        bystander_calls=len(bystander.samples),
        bystander=Latency.of(bystander.samples),
    )


async def _all_at_once(ours: Ours, calls: int) -> list[str]:
    lines = (f"GET /fn/{BURST}/ HTTP/1.1", "Host: localhost", f"X-API-Key: {ours.key}", "Connection: close")
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    return await asyncio.gather(*(_one(ours.port, request) for _ in range(calls)))


async def _one(port: int, request: bytes) -> str:
    """The head of the answer; empty where there is none."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
        writer.close()
    except (OSError, asyncio.TimeoutError):
        return ""
    return answer.partition(b"\r\n\r\n")[0].decode("latin-1")


def measure(plan: Plan, only: str | None) -> Section:
    """A burst on a server of its own, so that nothing else fills the node."""
    calls = 50 if plan.quick else CALLS
    with serving() as ours:
        figures = burst(ours, calls)
    rows = [
        ("answered with 200", f"{figures.answered:,} of {figures.calls:,}"),
        ("until the last answer", f"{figures.seconds:.1f} s"),
        ("started an instance", f"{figures.cold:,}"),
        ("the other function meanwhile, p50 / p95 / p99", " / ".join(quantiles(figures.bystander))),
    ]
    rows += [(f"refused with {status}", f"{count:,}") for status, count in figures.refused.items()]
    text = (
        f"{calls:,} calls at once to one function that sleeps for a second and has no instance, each over a connection "
        f"of its own, while another function is called every {PAUSE_S * 1000:.0f} ms."
    )
    goals = [
        at_least("burst: answered, of all", figures.answered / figures.calls, 1, ""),
        at_most("burst: until the last answer", figures.seconds, GOAL_S, " s"),
        at_most("burst: p99 of another function", figures.bystander.p99_us / 1000, GOAL_BYSTANDER_MS, " ms"),
    ]
    return Section(
        "burst", "From zero to a thousand", text, [Table(("what", "here"), rows)], goals, figures=asdict(figures)
    )
