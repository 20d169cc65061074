"""Ten thousand deployed functions that nobody calls: what they cost at rest, and how long a page of them takes."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from blake3 import blake3

from .ours import Ours, binary
from .plan import Plan
from .probe import Latency, Probe
from .running import APPS, running
from .section import Section, Table, at_most, quantiles
from .server import tree_rss_mb
from .surroundings import interpreter

CODE = (APPS / "ours" / "main.py").read_bytes()
FUNCTIONS = 10_000
GOAL_MB, GOAL_CPU, GOAL_PAGE_MS = 300, 1, 20
DEPLOYERS = 4
# Longer than an instance of a deployment's check needs to be gone, and than memory needs to be given back.
SETTLE_S = 5
IDLE_S = 10
PAGES = 100
PAGE = 200


@dataclass(frozen=True)
class ManyFigures:
    """A server with many functions at rest."""

    functions: int
    empty_rss_mb: float
    deploy_ms: float
    rss_after_deploying_mb: float
    ready_ms: float
    rss_mb: float
    cpu_percent: float
    page: Latency
    rss_after_listing_mb: float


class Deployer:
    """Deploys over one connection, with files that the server has already."""

    def __init__(self, ours: Ours) -> None:
        self.connection = HTTPConnection("127.0.0.1", ours.port, timeout=120)
        self.headers = {"X-API-Key": ours.key, "Content-Type": "application/json"}

    def upload(self) -> None:
        """The one file that all of them share."""
        headers = self.headers | {"Content-Type": "application/octet-stream"}
        self._send("PUT", f"/api/v1/blobs/{blake3(CODE).hexdigest()}", CODE, headers)

    def deploy(self, number: int) -> None:
        """One function."""
        name = f"many-{number:05}"
        file = {"path": "main.py", "digest": blake3(CODE).hexdigest(), "size": len(CODE)}
        body: dict[str, Any] = {"manifest": {"name": name, "runtime": interpreter().name}, "files": [file]}
        self._send("POST", f"/api/v1/functions/{name}/deploy", json.dumps(body).encode(), self.headers)

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]!r}")


def many(program: Path, functions: int) -> ManyFigures:
    """Deploys them, restarts the server over them and leaves it alone."""
    ours = Ours(program)
    try:
        with running(ours.command(), ours.port, "/readyz", **ours.env) as process:
            time.sleep(1)
            empty = tree_rss_mb(process.pid)
            began = time.monotonic()
            deploy_all(ours, functions)
            deploying = time.monotonic() - began
            time.sleep(SETTLE_S)
            after_deploying = tree_rss_mb(process.pid)
        began = time.monotonic()
        with running(ours.command(), ours.port, "/readyz", **ours.env) as process:
            ready = time.monotonic() - began
            time.sleep(SETTLE_S)
            before = _cpu_s(process.pid)
            time.sleep(IDLE_S)
            busy = _cpu_s(process.pid) - before
            resident = tree_rss_mb(process.pid)
            page = list_pages(ours, functions)
            after_listing = tree_rss_mb(process.pid)
    finally:
        ours.remove()
    return ManyFigures(
        functions=functions,
        empty_rss_mb=empty,
        deploy_ms=deploying * 1000 / functions,
        rss_after_deploying_mb=after_deploying,
        ready_ms=ready * 1000,
        rss_mb=resident,
        cpu_percent=busy / IDLE_S * 100,
        page=page,
        rss_after_listing_mb=after_listing,
    )


def deploy_all(ours: Ours, functions: int) -> None:
    """A few at a time, each with its check in a sandbox."""
    deployers = [Deployer(ours) for _ in range(DEPLOYERS)]
    deployers[0].upload()

    def part(first: int) -> None:
        for number in range(first, functions, DEPLOYERS):
            deployers[first].deploy(number)

    with ThreadPoolExecutor(DEPLOYERS) as pool:
        list(pool.map(part, range(DEPLOYERS)))


def list_pages(ours: Ours, functions: int) -> Latency:
    """Full pages from all over the list, none of them twice as long as there are others."""
    path = f"/api/v1/functions?limit={PAGE}"
    cursors, key = [""], {"X-API-Key": ours.key}
    while len(cursors) < max(1, functions // PAGE):
        request = Request(f"http://127.0.0.1:{ours.port}{path}{cursors[-1]}", headers=key)
        with urlopen(request, timeout=30) as reply:
            cursors.append(f"&cursor={json.load(reply)['next_cursor']}")
    samples = []
    for number in range(PAGES):
        with Probe(ours.port, path + cursors[number * len(cursors) // PAGES], key) as probe:
            samples.append(probe.call()[0])
    return Latency.of(samples)


def _cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(plan: Plan, only: str | None) -> Section:
    """As many as the goal names."""
    figures = many(binary(), 20 if plan.quick else FUNCTIONS)
    rows = [
        ("resident, before the first of them", f"{figures.empty_rss_mb:.0f} MB"),
        ("to deploy one", f"{figures.deploy_ms:.0f} ms"),
        ("resident after deploying all", f"{figures.rss_after_deploying_mb:.0f} MB"),
        ("ready after a restart", f"{figures.ready_ms:.0f} ms"),
        ("resident at rest", f"{figures.rss_mb:.0f} MB"),
        ("processor at rest, of one core", f"{figures.cpu_percent:.2f}%"),
        (f"a page of {PAGE}, p50 / p95 / p99", " / ".join(quantiles(figures.page))),
        ("resident after listing all", f"{figures.rss_after_listing_mb:.0f} MB"),
    ]
    text = f"{figures.functions:,} functions are deployed and nobody calls them; the server is restarted over them."
    goals = [
        at_most(f"{figures.functions:,} idle functions: resident", figures.rss_mb, GOAL_MB, " MB"),
        at_most(f"{figures.functions:,} idle functions: processor", figures.cpu_percent, GOAL_CPU, "%"),
        at_most("a page of the list, p95", figures.page.p95_us / 1000, GOAL_PAGE_MS, " ms"),
    ]
    return Section("many", "Many idle functions", text, [Table(("what", "here"), rows)], goals, figures=asdict(figures))
