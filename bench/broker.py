"""Redis as the peers' queues need it to keep their word, and a disk that is slower than it is."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import ConnectionError, Redis

from .surroundings import REDIS, TARGET, clean_env, free_port

READY_WITHIN_S = 10
SHIM = Path(__file__).parent / "slow_fsync.c"


@contextmanager
def redis_server(fsync_ms: float) -> Iterator[Redis]:
    """Every write is fsynced before it is answered; nothing else is written meanwhile."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as place:
        words = [str(REDIS), "--port", str(port), "--bind", "127.0.0.1", "--dir", place, "--save", ""]
        words += ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]
        environment = clean_env(**slow_fsync(fsync_ms))
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield _ready(process, port)
        finally:
            process.terminate()
            process.wait(30)


def _ready(process: subprocess.Popen[bytes], port: int) -> Redis:
    client, end = Redis(port=port), time.monotonic() + READY_WITHIN_S
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(ConnectionError):
            client.ping()
            return client
        time.sleep(0.01)
    raise RuntimeError("redis-server did not become ready")


def slow_fsync(milliseconds: float) -> dict[str, str]:
    """The environment of a program whose every fsync takes so much longer; empty for nothing."""
    if milliseconds <= 0:
        return {}
    return {"LD_PRELOAD": str(_shim()), "BENCH_FSYNC_US": str(round(milliseconds * 1000))}


@functools.cache
def _shim() -> Path:
    library = TARGET / "bench" / "slow_fsync.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SHIM), "-ldl"], check=True)
    return library
