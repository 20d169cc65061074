"""Ten thousand idle and ten thousand slow connections at once, renewed as they close, while others call a function.

By itself: `FAAS_BIN=… python -m bench.connections --each 10000`.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import resource
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from .ours import Ours, serving

APP, NAME = "ours", "healthy"
SLOW_HEAD = b"POST /fn/x HTTP/1.1\r\nHost: x\r\nX-Slow: "
# How often a slow connection sends one more byte.
DRIP_S = 2.0
# New connections of one attacker at a time, and in a second once it has had all of them.
BATCH = 200


@dataclass(frozen=True)
class Pressure:
    """What healthy callers felt, and what the server held."""

    hostile_each: int
    held_at_most: int
    calls: int
    failed: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    server_descriptors: int
    server_rss_mb: int


def attack(port: int, count: int, slow: bool, held: Synchronized[int]) -> None:
    """Keeps `count` connections open until it is ended."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    watch = selectors.EpollSelector()
    open_ones: set[socket.socket] = set()
    dripped = renewed = time.monotonic()
    opened = 0
    while True:
        if opened < count or time.monotonic() - renewed > 1.0:
            fresh, renewed = min(BATCH, count - len(open_ones)), time.monotonic()
        else:
            fresh = 0
        opened += fresh
        for _ in range(fresh):
            with contextlib.suppress(OSError):
                one = socket.create_connection(("127.0.0.1", port), timeout=5)
                if slow:
                    one.sendall(SLOW_HEAD)
                one.setblocking(False)
                watch.register(one, selectors.EVENT_READ)
                open_ones.add(one)
        for key, _ in watch.select(0 if opened < count else 0.1):
            one = key.fileobj
            assert isinstance(one, socket.socket)
            watch.unregister(one)
            open_ones.discard(one)
            one.close()
        held.value = len(open_ones)
        if slow and time.monotonic() - dripped > DRIP_S:
            dripped = time.monotonic()
            for one in open_ones:
                with contextlib.suppress(OSError):
                    one.send(b"x")


@contextlib.contextmanager
def attackers(port: int, each: int) -> Iterator[list[Synchronized[int]]]:
    """One process for each kind, ended with the block."""
    held = [multiprocessing.Value("i", 0) for _ in range(2)]
    kinds = zip((False, True), held, strict=True)
    running = [multiprocessing.Process(target=attack, args=(port, each, slow, count)) for slow, count in kinds]
    try:
        for process in running:
            process.start()
        yield held
    finally:
        for process in running:
            process.terminate()
            process.join()


def healthy(ours: Ours, seconds: float) -> tuple[list[float], int]:
    """Calls on a connection of their own each; their milliseconds, and how many failed."""
    took, failed = [], 0
    headers = {"Authorization": f"Bearer {ours.key}"}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", ours.port, timeout=10)
        try:
            connection.request("GET", f"/fn/{NAME}", headers=headers)
            failed += connection.getresponse().status != 200
        except OSError:
            failed += 1
        finally:
            connection.close()
        took.append((time.perf_counter() - began) * 1_000)
        time.sleep(0.01)
    return sorted(took), failed


def pid_of(ours: Ours) -> int:
    """The server's process, by its data directory."""
    wanted = str(ours.data).encode()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if entry.name.isdigit() and wanted in words and b"up" in words:
                return int(entry.name)
    raise RuntimeError("the server is gone")


def measure(each: int, seconds: float) -> Pressure:
    """One round."""
    with serving() as ours:
        ours.deploy(APP, NAME)
        healthy(ours, 0.5)
        with attackers(ours.port, each) as held:
            until = time.monotonic() + 60
            while sum(count.value for count in held) < 0.5 * each and time.monotonic() < until:
                time.sleep(0.1)
            took, failed = healthy(ours, seconds)
            pid, most = pid_of(ours), sum(count.value for count in held)
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) >> 10
        figures = (quantile(took, 0.5), quantile(took, 0.99), took[-1])
        return Pressure(each, most, len(took), failed, *figures, descriptors, resident)


def quantile(ordered: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m bench.connections", description=__doc__)
    words.add_argument("--each", type=int, default=10_000, help="connections of each hostile kind")
    words.add_argument("--seconds", type=float, default=15.0, help="how long healthy calls are measured")
    chosen = words.parse_args()
    print(json.dumps(asdict(measure(chosen.each, chosen.seconds)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
