"""Callers of one queue: `callers.py MODULE`, then lines of `CALLERS SECONDS`.

Each caller hands over a job, waits until the library says that it is taken, and does so again until the time is over.
Each line is answered with one of JSON: the microseconds it took and those of each job.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable

import uvloop


def threads(send: Callable[[], object], callers: int, end: float) -> list[int]:
    """Callers of a library that blocks: a thread each."""
    samples: list[int] = []

    def call() -> None:
        while time.perf_counter() < end:
            began = time.perf_counter_ns()
            send()
            samples.append((time.perf_counter_ns() - began) // 1000)

    running = [threading.Thread(target=call) for _ in range(callers)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return samples


async def tasks(send: Callable[[], Awaitable[object]], callers: int, end: float) -> list[int]:
    """Callers of a library that awaits: a task each."""
    samples: list[int] = []

    async def call() -> None:
        while time.perf_counter() < end:
            began = time.perf_counter_ns()
            await send()
            samples.append((time.perf_counter_ns() - began) // 1000)

    await asyncio.gather(*(call() for _ in range(callers)))
    return samples


def main() -> None:
    connect = importlib.import_module(sys.argv[1]).connect
    loop = uvloop.new_event_loop()
    awaits = inspect.iscoroutinefunction(connect)
    send = loop.run_until_complete(connect()) if awaits else connect()
    print("{}", flush=True)
    for line in sys.stdin:
        callers, seconds = line.split()
        began = time.perf_counter()
        end = began + float(seconds)
        samples = (
            loop.run_until_complete(tasks(send, int(callers), end)) if awaits else threads(send, int(callers), end)
        )
        took = round((time.perf_counter() - began) * 1e6)
        print(json.dumps({"us": took, "samples": samples}), flush=True)


if __name__ == "__main__":
    main()
