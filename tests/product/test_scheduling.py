"""Which call gets an instance, and which instance goes: deployments in between, full nodes, what calls leave behind."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Reply, Server, until, write_function

from .metrics import sample

SLEEPER = """
import time

def handler(event):
    time.sleep(event.get("s", 0))
    return "done"
"""
LEAVER = """
import os, threading, time

# A process has the same number in every sandbox.
SELF = os.urandom(16).hex()

def handler(event):
    if event.get("leave") == "process":
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
            os._exit(0)
    if event.get("leave") == "thread":
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    return SELF
"""


def waits(server: Server, name: str, calls: int) -> None:
    """Until so many calls of a function wait."""
    until(lambda: sample(server, "faas_function_queue_length", function=name) == calls, f"{calls} calls wait")


def busy(server: Server, name: str, instances: int = 1) -> None:
    """Until so many instances of a function work."""
    state = {"function": name, "state": "busy"}
    until(lambda: sample(server, "faas_function_instances", **state) == instances, f"{instances} work")


def test_a_call_that_waits_follows_a_deployment(server: Server, name: str, tmp_path: Path) -> None:
    folder = write_function(tmp_path, name, SLEEPER, scaling={"max": 1})
    server.deploy(folder)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.api.call, name, {"s": 4})
        busy(server, name)
        second = pool.submit(server.api.call, name, {})
        waits(server, name, 1)
        server.deploy(folder)
        late = second.result(60).expect(200)
        early = first.result(60).expect(200)
    assert (early.headers["x-function-version"], late.headers["x-function-version"]) == ("1", "2")
    assert server.api.finished(late.headers["x-run-id"])["version"] == 2


@pytest.mark.needs("root", "cgroups")
def test_an_instance_whose_call_left_a_process_is_not_used_again(server: Server, name: str, tmp_path: Path) -> None:
    server.deploy(write_function(tmp_path, name, LEAVER, scaling={"max": 1}))

    def call(leave: str) -> Reply:
        return server.api.call(name, {"leave": leave}).expect(200)

    def spoiled() -> float:
        return sample(server, "faas_instance_stops_total", reason="unfit")

    first, before = call("").body, spoiled()
    for leave in ("", "thread", "", "process"):
        reply = call(leave)
        assert reply.headers["x-cold-start"] == "false" and reply.body == first, leave
    after = call("")
    assert after.headers["x-cold-start"] == "true" and after.body != first, "the process of another run was still there"
    assert spoiled() > before


@pytest.mark.needs("root", "cgroups")
def test_a_process_that_the_first_call_leaves_is_seen(server: Server, name: str, tmp_path: Path) -> None:
    """Whatever is still there of the start must not hide it. Many times, since that is gone within microseconds."""
    server.deploy(write_function(tmp_path, name, LEAVER, scaling={"max": 1}))
    seen = [server.api.call(name, {"leave": "process"}).expect(200) for _ in range(40)]
    assert [reply.headers["x-cold-start"] for reply in seen] == ["true"] * 40
    assert len({reply.body for reply in seen}) == 40


def test_a_function_at_its_maximum_answers_429(server: Server, name: str, tmp_path: Path) -> None:
    server.deploy(write_function(tmp_path, name, SLEEPER, scaling={"max": 1}, timeout="2s"))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(server.api.call, name, {"s": 1.9})
        busy(server, name)
        # In turn, so that the last one's deadline comes while the one before it runs.
        queued: list[Future[Reply]] = []
        with ThreadPoolExecutor(3) as others:
            for count in (1, 2, 3):
                queued.append(others.submit(server.api.call, name, {"s": 1.9}))
                waits(server, name, count)
        refused = [call.result(60) for call in queued if call.result(60).status != 200]
        running.result(60).expect(200)
    assert refused and all(reply.status == 429 and reply.json()["code"] == "FN_007" for reply in refused)
    assert all(1 <= int(reply.headers["retry-after"]) <= 60 for reply in refused)


def test_a_full_node_answers_503_and_then_recovers(tmp_path: Path) -> None:
    with Server(args=["--instances-max", "1"]) as server:
        server.deploy(write_function(tmp_path, "holder", SLEEPER, timeout="30s"))
        server.deploy(write_function(tmp_path, "waiter", SLEEPER, timeout="1s"))
        with ThreadPoolExecutor(1) as pool:
            holder = pool.submit(server.api.call, "holder", {"s": 4})
            busy(server, "holder")
            refused = server.api.call("waiter").expect(503)
            holder.result(60).expect(200)
        assert refused.json()["code"] == "FN_015" and int(refused.headers["retry-after"]) >= 1
        assert sample(server, "faas_refusals_total", reason="node_full") == 1
        server.api.call("waiter").expect(200)
        assert sample(server, "faas_instance_stops_total", reason="reclaimed") == 1


def test_a_noisy_function_cannot_starve_another(tmp_path: Path) -> None:
    with Server(args=["--instances-max", "2"]) as server:
        server.deploy(write_function(tmp_path, "noisy", SLEEPER))
        server.deploy(write_function(tmp_path, "quiet", SLEEPER))
        over = threading.Event()

        def shout(_: int) -> int:
            calls = 0
            while not over.is_set():
                server.api.call("noisy", {"s": 0.1}).expect(200)
                calls += 1
            return calls

        with ThreadPoolExecutor(16) as pool:
            noise = [pool.submit(shout, number) for number in range(16)]
            busy(server, "noisy", 2)
            answers = [server.api.call("quiet").status for _ in range(5)]
            over.set()
            heard = [call.result(60) for call in noise]
        assert answers == [200] * 5
        assert sum(heard) > 16
        assert sample(server, "faas_instance_stops_total", reason="preempted") >= 1


def test_an_instance_larger_than_the_node_is_refused_at_once(tmp_path: Path) -> None:
    hog = "ballast = bytearray(200 << 20)\ndef handler(event):\n    return len(ballast)\n"
    with Server(args=["--memory-max", "128MB", "--idle", "1s"]) as server:
        server.deploy(write_function(tmp_path, "hog", hog, memory="512MB"))
        server.deploy(write_function(tmp_path, "small", SLEEPER))
        # Nobody knows how large it is before the first one was measured; then no second one is started.
        server.api.call("hog").expect(200)
        refused = until(lambda: _refused(server), "the node notices")
        assert refused.json()["code"] == "FN_015" and int(refused.headers["retry-after"]) >= 1
        assert sample(server, "faas_instance_stops_total", reason="memory") >= 1
        until(lambda: sample(server, "faas_instances_memory_bytes") == 0, "its memory is given back")
        server.api.call("small").expect(200)


def _refused(server: Server) -> Reply | None:
    reply = server.api.call("hog")
    return reply if reply.status == 503 else None
