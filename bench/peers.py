"""The peers' queues under load, each by its own library and with its own workers."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from redis import Redis

from .accept import Accepts, drain, ended_rate
from .running import APPS
from .surroundings import NPM, clean_env, node
from .wrk import WrongAnswerError

PLACE = APPS / "queues"
CORES = os.cpu_count() or 1
# As many as wrk has threads: one would be the bound of what the slower libraries can send.
CALLING_PROCESSES = 2
# Jobs for workers that have just been started.
WARM_UP_S = 0.1


@dataclass(frozen=True)
class Peer:
    """A queue: who hands jobs over, who runs them, and which keys say how many have not ended."""

    name: str
    callers: tuple[str, ...]
    workers: tuple[tuple[str, ...], ...]
    open_jobs: tuple[tuple[str, str], ...]
    note: str


def _python(module: str) -> tuple[str, ...]:
    return sys.executable, "callers.py", module


def _tool(*words: str) -> tuple[str, ...]:
    return sys.executable, "-m", *words


ARQ, CELERY = "arq", "Celery"


def peers() -> list[Peer]:
    """All of them, each with a worker process for each core."""
    celery = ("celery", "-A", "celery_jobs", "worker", "-P", "prefork", "-c", str(CORES), "-l", "error")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    rq = ("rq.cli", "worker", "-q", "-w", "rq.worker.SimpleWorker", "-u", "redis://127.0.0.1:{port}", "default")
    bullmq = (node(), "bullmq.mjs")
    return [
        Peer(
            ARQ,
            _python("arq_jobs"),
            (_tool("arq", "arq_jobs.WorkerSettings"),) * CORES,
            (("zcard", "arq:queue"),),
            "256 jobs at once in each process, a look every 10 ms, no results",
        ),
        Peer(
            "RQ",
            _python("rq_jobs"),
            (_tool(*rq),) * CORES,
            (("llen", "rq:queue:default"), ("zcard", "rq:wip:default")),
            "`SimpleWorker`, which spares it the fork for each job that its ordinary worker makes; no results",
        ),
        Peer(
            CELERY,
            _python("celery_jobs"),
            (_tool(*celery, *quiet),),
            (("llen", "celery"), ("hlen", "unacked")),
            "`prefork`, `task_acks_late`, 64 jobs prefetched for each process, no results",
        ),
        Peer(
            "Dramatiq",
            _python("dramatiq_jobs"),
            (_tool("dramatiq", "dramatiq_jobs", "--processes", str(CORES), "--threads", "8"),),
            (("hlen", "dramatiq:default.msgs"),),
            "8 threads in each process, no results",
        ),
        Peer(
            "BullMQ",
            (*bullmq, "call"),
            ((*bullmq, "work"),) * CORES,
            (("llen", "bull:jobs:wait"), ("llen", "bull:jobs:active")),
            "64 jobs at once in each process, removed when they have ended",
        ),
    ]


class PeerQueue:
    """One of them with callers that stay, over one Redis."""

    is_ours = False

    def __init__(self, peer: Peer, redis: Redis, stack: ExitStack) -> None:
        self.peer, self.redis, self.name = peer, redis, f"{peer.name}, by its library"
        port = str(redis.connection_pool.connection_kwargs["port"])
        self.env = clean_env(REDIS_PORT=port, BENCH_NPM=str(NPM))
        self.workers = [[word.replace("{port}", port) for word in worker] for worker in peer.workers]
        self.processes = [stack.enter_context(self._caller()) for _ in range(CALLING_PROCESSES)]

    def accept(self, clients: int, seconds: int) -> Accepts:
        """Into a queue that only grows, as nobody works on it; emptied afterwards."""
        accepts, _ = self._call(clients, seconds)
        self._clear()
        return accepts

    def end_to_end(self, clients: int, seconds: int) -> float:
        """Jobs that ended a second, counted from the first hand-over, with workers that are warm."""
        with ExitStack() as stack:
            for command in self.workers:
                stack.enter_context(self._process(command))
            self._call(CALLING_PROCESSES, WARM_UP_S)
            drain(self.name, self._open_jobs)
            began = time.monotonic()
            _, jobs = self._call(clients, seconds)
            rate = ended_rate(began, jobs, self._open_jobs)
        self._clear()
        return rate

    def _call(self, clients: int, seconds: float) -> tuple[Accepts, int]:
        shares = [clients // len(self.processes), clients - clients // len(self.processes)]
        calling = [(process, share) for process, share in zip(self.processes, shares, strict=True) if share]
        for process, share in calling:
            process.stdin.write(f"{share} {seconds}\n")
            process.stdin.flush()
        answers = [json.loads(self._line(process)) for process, _ in calling]
        samples = [sample for answer in answers for sample in answer["samples"]]
        cuts = statistics.quantiles(samples, n=100, method="inclusive")
        per_second = len(samples) / (max(answer["us"] for answer in answers) / 1e6)
        return Accepts(per_second, cuts[49], cuts[98]), len(samples)

    def _open_jobs(self) -> int:
        return sum(int(self.redis.execute_command(command, key)) for command, key in self.peer.open_jobs)

    def _clear(self) -> None:
        """Removes all but Celery's routes, which it makes once."""
        keys = [key for key in self.redis.scan_iter(count=10_000) if not key.startswith(b"_kombu")]
        for first in range(0, len(keys), 10_000):
            self.redis.unlink(*keys[first : first + 10_000])

    def _line(self, process: subprocess.Popen[str]) -> str:
        line = process.stdout.readline()
        if not line:
            raise WrongAnswerError(f"the callers of {self.name} ended with {process.wait(10)}")
        return line

    @contextmanager
    def _caller(self) -> Iterator[subprocess.Popen[str]]:
        with self._process(list(self.peer.callers), subprocess.PIPE) as process:
            self._line(process)
            yield process

    @contextmanager
    def _process(self, command: list[str], pipe: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[str]]:
        """In a group of its own, so that its children end with it."""
        streams = {"stdin": pipe, "stdout": pipe, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, cwd=PLACE, env=self.env, text=True, start_new_session=True, **streams)
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
