"""A small client for single calls: one open connection, a raw socket, nothing that adds time of its own."""

from __future__ import annotations

import socket
import statistics
import time
from dataclasses import dataclass

from .plan import Plan


@dataclass(frozen=True)
class Latency:
    """Quantiles in microseconds."""

    p50_us: float
    p95_us: float
    p99_us: float

    @staticmethod
    def of(samples_us: list[float]) -> Latency:
        """From at least two samples."""
        cuts = statistics.quantiles(samples_us, n=100, method="inclusive")
        return Latency(cuts[49], cuts[94], cuts[98])


class Probe:
    """Sends the same request again and again over one connection."""

    def __init__(self, port: int, path: str, headers: dict[str, str]) -> None:
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{k}: {v}" for k, v in headers.items())]
        self.request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def call(self) -> tuple[float, str]:
        """Microseconds until the whole answer is there, and its head."""
        began = time.perf_counter_ns()
        self.socket.sendall(self.request)
        got = self.socket.recv(65536)
        while not _complete(got):
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError(f"cut after {got[:200]!r}")
            got += more
        took = (time.perf_counter_ns() - began) / 1000
        head = got.partition(b"\r\n\r\n")[0].decode("latin-1")
        if " 200 " not in head.partition("\r\n")[0]:
            raise ConnectionError(head)
        return took, head


def _complete(got: bytes) -> bool:
    head, mark, body = got.partition(b"\r\n\r\n")
    if not mark:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return body.endswith(b"0\r\n\r\n")


def after_idle(port: int, path: str, headers: dict[str, str], plan: Plan) -> Latency:
    """Calls with a pause before each: what a visitor feels, and where schedulers and allocators show."""
    samples = []
    with Probe(port, path, headers) as probe:
        for _ in range(10):
            probe.call()
        for _ in range(plan.idle_calls):
            time.sleep(plan.idle_gap_s)
            samples.append(probe.call()[0])
    return Latency.of(samples)
