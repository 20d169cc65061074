"""Our own queue under load: runs are accepted over HTTP, each committed and fsynced before its 202."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection

from .broker import slow_fsync
from .ours import Ours, binary
from .running import running
from .surroundings import clean_env
from .wrk import WrongAnswerError

POST = """
wrk.method = "POST"
wrk.body = '{"n": 1}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %s"
done = function(summary, latency)
  local e = summary.errors
  local bad = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format('{"requests": %%d, "us": %%d, "bad": %%d, "p50": %%d, "p99": %%d}',
    summary.requests, summary.duration, bad, latency:percentile(50), latency:percentile(99)))
end
"""
HELD, RUNNING = "held", "noop"
DRAINED_WITHIN_S = 300
# End to end is counted for so long at the most, or until all have ended.
COUNTED_S = 3


@dataclass(frozen=True)
class Accepts:
    """Jobs that were taken for good while so many callers waited for it, or the medians of several such times."""

    per_second: float
    p50_us: float
    p99_us: float


def ended_rate(began: float, jobs: int, open_jobs: Callable[[], int]) -> float:
    """Jobs a second that have ended since `began`."""
    while True:
        left, took = open_jobs(), time.monotonic() - began
        if left == 0 or took >= COUNTED_S:
            return (jobs - left) / took
        time.sleep(0.005)


def drain(name: str, open_jobs: Callable[[], int]) -> None:
    """Waits until no job is left."""
    end, empty = time.monotonic() + DRAINED_WITHIN_S, 0
    # Those of a peer may be in no list for a moment, between two commands of a worker.
    while empty < 3:
        empty = empty + 1 if open_jobs() == 0 else 0
        if time.monotonic() > end:
            raise WrongAnswerError(f"{name}: jobs still wait after {DRAINED_WITHIN_S} s")
        time.sleep(0.005)


class OurQueue:
    """A function that is paused, for what is only accepted, and one that runs in an instance for each core."""

    name, is_ours = "faas, over HTTP", True

    def __init__(self, ours: Ours) -> None:
        self.ours = ours
        limits = f"[scaling]\nmax = {os.cpu_count()}\n[background]\nbacklog_max = 1000000\n"
        for name in (HELD, RUNNING):
            ours.deploy("queued", name, limits)
        ours.cli("fn", "pause", HELD)
        self._post(RUNNING, 2, 1)
        drain(self.name, self._open_runs)

    def accept(self, clients: int, seconds: int) -> Accepts:
        """Into a queue that only grows."""
        got = self._post(HELD, clients, seconds)
        return Accepts(got["requests"] / (got["us"] / 1e6), got["p50"], got["p99"])

    def end_to_end(self, clients: int, seconds: int) -> float:
        """Runs that ended a second, counted from the first request."""
        began = time.monotonic()
        got = self._post(RUNNING, clients, seconds)
        rate = ended_rate(began, int(got["requests"]), self._open_runs)
        drain(self.name, self._open_runs)
        return rate

    def _post(self, function: str, clients: int, seconds: int) -> dict[str, float]:
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(POST % self.ours.key)
            script.flush()
            url = f"http://127.0.0.1:{self.ours.port}/async/{function}"
            command = ["wrk", f"-t{min(2, clients)}", f"-c{clients}", f"-d{seconds}s", "-s", script.name, url]
            done = subprocess.run(command, env=clean_env(), capture_output=True, text=True, timeout=120, check=True)
        got = json.loads(done.stdout[done.stdout.rindex("{") :])
        if got["bad"]:
            raise WrongAnswerError(f"{function}: {got}")
        return got

    def _open_runs(self) -> int:
        connection = HTTPConnection("127.0.0.1", self.ours.port, timeout=30)
        headers = {"Authorization": f"Bearer {self.ours.key}"}
        connection.request("GET", f"/api/v1/functions/{RUNNING}", headers=headers)
        waiting = json.loads(connection.getresponse().read())["waiting_runs"]
        connection.close()
        return int(waiting)


@contextmanager
def our_queue(fsync_ms: float) -> Iterator[OurQueue]:
    """A server for as long as it is needed, on a disk that is so much slower."""
    ours = Ours(binary())
    try:
        with running(ours.command(), ours.port, "/readyz", **ours.env, **slow_fsync(fsync_ms)):
            yield OurQueue(ours)
    finally:
        ours.remove()
