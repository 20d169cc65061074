"""Many calls at once of a function without an instance. How fast that is, `bench/burst.py` measures."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import Server, until, write_function

from .metrics import sample

CALLS = 200
SLEEPER = """
import time

def handler(event):
    time.sleep(0.3)
    return event["number"]
"""
QUICK = "def handler(event):\n    return 'here'\n"


def test_a_burst_from_nothing_is_answered_and_others_are_served_meanwhile(
    server: Server, name: str, tmp_path: Path
) -> None:
    sleeper, quick = name[:40] + "-s", name[:40] + "-q"
    server.deploy(write_function(tmp_path, sleeper, SLEEPER, scaling={"max": 1000}, timeout="60s"))
    server.deploy(write_function(tmp_path, quick, QUICK))
    api, over, others = server.api, threading.Event(), []

    def bystander() -> None:
        while not over.is_set():
            others.append(api.call(quick).status)

    def call(number: int) -> tuple[int, object]:
        reply = api.call(sleeper, {"number": number}, timeout=120)
        return reply.status, reply.json() if reply.status == 200 else reply.body

    beside = threading.Thread(target=bystander)
    beside.start()
    try:
        with ThreadPoolExecutor(CALLS) as pool:
            answers = list(pool.map(call, range(CALLS)))
    finally:
        over.set()
        beside.join(60)
    assert answers == [(200, number) for number in range(CALLS)]
    assert len(others) > 1 and set(others) == {200}
    assert sample(server, "faas_function_queue_length", function=sleeper) == 0
    until(lambda: sample(server, "faas_function_instances", function=sleeper, state="busy") == 0, "all are idle")
    starts = sample(server, "faas_function_instances", function=sleeper, state="idle")
    assert 0 < starts <= CALLS
