"""Frames that cost their sender nothing: what they cost the server is bounded, and nobody else feels it."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Server, until, write_function

NEIGHBOUR = "def handler(event):\n    return len(event.get('text', ''))\n"
# Writes to the channel itself. The first call of an instance is stream 1.
FORGE = """
import json, os, socket, struct, threading, time

channel = socket.socket(fileno=os.dup(3))
stream = 0

def frame(kind, payload=b"", stream=None, end=0):
    return struct.pack("<IBBHI", len(payload), kind, end, 0, stream) + payload

def head(length=None):
    return json.dumps({"status": 200, "headers": [], "length": length}).encode()

def flood(part, seconds):
    batch, until = part * max(1, 65536 // len(part)), time.monotonic() + seconds
    channel.setblocking(True)
    channel.settimeout(0.2)
    sent = 0
    while time.monotonic() < until:
        try:
            sent += channel.send(batch[sent % len(part):])
        except TimeoutError:
            pass
        except OSError:
            break
    # To the end of a frame.
    rest = -sent % len(part)
    try:
        channel.sendall(part[len(part) - rest:] if rest else b"")
    except OSError:
        pass
    return sent // len(part)

def handler(event):
    global stream
    stream += 1
    return attack(event) if event.get("attack") else "real"

"""


@pytest.fixture
def neighbour(server: Server, tmp_path: Path, name: str) -> Callable[[], float]:
    """Another function on the same server; calling it asserts that it answers, and tells how long that took."""
    beside = f"{name[:50]}-beside"
    server.deploy(write_function(tmp_path, beside, NEIGHBOUR))

    def answers() -> float:
        begun = time.monotonic()
        assert server.api.invoke(beside, {"text": "12345678"}, timeout=30).expect(200).json() == 8
        return time.monotonic() - begun

    answers()
    return answers


def deploy(server: Server, tmp_path: Path, name: str, attack: str, **settings: object) -> None:
    settings = {"timeout": "10s", **settings}
    server.deploy(write_function(tmp_path, name, FORGE + attack, **settings))


def memory(server: Server) -> int:
    with open(f"/proc/{server.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


def processor_time(server: Server) -> float:
    with open(f"/proc/{server.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def log_bytes(server: Server) -> int:
    return sum(path.stat().st_size for path in server.data.glob("logs.db*"))


def unread(server: Server, name: str, body: dict[str, object]) -> http.client.HTTPConnection:
    """A call whose client takes nothing of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"authorization": f"Bearer {server.key}", "content-type": "application/json"}
    connection.request("POST", f"/api/v1/functions/{name}/invoke", json.dumps(body), headers)
    return connection


@pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "one byte"])
def test_many_tiny_chunks_take_no_memory(
    server: Server, tmp_path: Path, name: str, neighbour: Callable[[], float], payload: bytes
) -> None:
    attack = f"""
def attack(event):
    channel.sendall(frame(0x83, head(), stream))
    channel.sendall(frame(0x84, b"x" * {200_000 if payload else 262_144}, stream))
    if {payload!r}:
        channel.sendall(frame(0x84, {payload!r}, stream) * 60_000)
    else:
        flood(frame(0x84, b"", stream), 3)
    time.sleep(1)
"""
    deploy(server, tmp_path, name, attack)
    server.api.invoke(name).expect(200)
    before = memory(server)
    connection = unread(server, name, {"attack": True})
    slowest, most = 0.0, 0
    until = time.monotonic() + 4
    while time.monotonic() < until:
        slowest, most = max(slowest, neighbour()), max(most, memory(server) - before)
        time.sleep(0.05)
    connection.close()
    assert most < 64 << 20, f"the server grew by {most >> 20} MB"
    assert slowest < 2, f"a neighbour waited {slowest:.2f} s"


def test_frames_of_ended_streams_end_their_instance_alone(
    server: Server, tmp_path: Path, name: str, neighbour: Callable[[], float]
) -> None:
    """Parsing them, and looking at the pipes before each end, would keep the server busy for next to nothing."""
    attack = """
def attack(event):
    whole = json.dumps({"status": 200, "headers": [["x", "y" * 30000]]}).encode()
    kinds = {"end": frame(0x85, b"", 1), "head": frame(0x83, whole, 1),
             "publish": frame(0x8A, struct.pack("<I", 2) + b"{}", 1)}
    return flood(kinds[event["attack"]], 4)
"""
    deploy(server, tmp_path, name, attack)
    for kind in ("end", "head", "publish"):
        server.api.invoke(name).expect(200)
        spent = processor_time(server)
        reply = server.api.invoke(name, {"attack": kind}, timeout=30)
        assert reply.status == 502, f"{kind}: {reply.body!r}"
        assert processor_time(server) - spent < 2, f"{kind}: the server worked for it"
        neighbour()


def test_a_flood_that_is_no_breach_takes_a_share_of_a_core(
    server: Server, tmp_path: Path, name: str, neighbour: Callable[[], float]
) -> None:
    """Lines and parts of bodies may come for a stream that has just ended, so that they are slowed down."""
    attack = """
def attack(event):
    return flood(frame(int(event["attack"]), bytes(12), 1), 5)
"""
    deploy(server, tmp_path, name, attack)
    server.api.invoke(name).expect(200)
    spent, begun = processor_time(server), time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(server.api.invoke, name, {"attack": "132"}, timeout=60)
        slowest = 0.0
        while not call.done():
            slowest = max(slowest, neighbour())
            time.sleep(0.02)
    took = time.monotonic() - begun
    # Prices are those of an optimised build; this one may not be one.
    assert processor_time(server) - spent < 0.8 * took, f"{processor_time(server) - spent:.2f} s of {took:.2f} s"
    assert slowest < 2, f"a neighbour waited {slowest:.2f} s"


def test_what_is_raised_is_cut_before_it_is_kept(server: Server, tmp_path: Path, name: str) -> None:
    attack = """
def attack(event):
    raised = {"type": "T" * 9000, "message": "m" * 30000, "stack": ["s" * 3000] * 50,
              "snippet": "c" * 9000, "hint": "h" * 9000}
    kind = event["attack"]
    end = {"dropped": 2 ** 64 - 1, kind: raised if kind == "raised" else "r" * 200000}
    channel.sendall(frame(0x85, json.dumps(end).encode(), stream, end=1))
    time.sleep(0.5)
    os._exit(0)
"""
    deploy(server, tmp_path, name, attack)
    deploy(server, tmp_path, f"{name[:50]}-too", attack)
    cut_before = server.metric("faas_log_lines_cut_total")
    reply = server.api.invoke(name, {"attack": "raised"}, timeout=30)
    assert reply.status == 502, reply.body[:300]
    assert len(reply.body) < 60_000, "the caller gets all of it"
    run = server.http.get(f"/api/v1/runs/{reply.headers['x-run-id']}").expect(200)
    assert len(run.body) < 120_000, f"{len(run.body)} bytes are kept"
    rejected = server.api.invoke(f"{name[:50]}-too", {"attack": "rejected"}, timeout=30)
    assert rejected.status == 400 and len(rejected.body) < 20_000, rejected.body[:300]
    cut = server.metric("faas_log_lines_cut_total") - cut_before
    assert 0 < cut <= 2**34, f"{cut} lines are said to be cut"


def test_heads_reserve_nothing_for_bodies_that_do_not_come(
    server: Server, tmp_path: Path, name: str, neighbour: Callable[[], float]
) -> None:
    code = """
import asyncio, json, os, struct

stream = 0

async def handler(event):
    global stream
    stream += 1
    length = (10 if stream <= 51 else 2) << 20
    head = json.dumps({"status": 200, "headers": [], "length": length}).encode()
    os.write(3, struct.pack("<IBBHI", len(head), 0x83, 0, 0, stream) + head)
    await asyncio.sleep(30)
"""
    server.deploy(write_function(tmp_path, name, code, timeout="10s", scaling={"max": 1}))
    connections = [unread(server, name, {}) for _ in range(60)]
    until(lambda: server.metric("faas_in_flight", name) >= len(connections), "all calls run", within=20)
    for _ in range(5):
        neighbour()
    for connection in connections:
        connection.close()


def test_empty_lines_are_no_way_around_the_limit_of_a_log(server: Server, tmp_path: Path, name: str) -> None:
    attack = """
def attack(event):
    os.write(1, b"\\n" * (1 << 20)) if event["attack"] == "raw" else print("\\n" * (1 << 20))
    return "done"
"""
    deploy(server, tmp_path, name, attack, timeout="30s")
    before = log_bytes(server)
    for kind in ("raw", "print"):
        reply = server.api.invoke(name, {"attack": kind}, timeout=60).expect(200)
        run = server.http.get(f"/api/v1/runs/{reply.headers['x-run-id']}").expect(200).json()
        assert run["attempts"][0]["dropped_log_lines"] > 900_000, run["attempts"]
    assert log_bytes(server) - before < 24 << 20, f"{log_bytes(server) - before >> 20} MB"


def test_a_line_cannot_come_from_another_time(server: Server, tmp_path: Path, name: str) -> None:
    attack = """
def attack(event):
    for at in (253370764800000, 2 ** 63, 0):
        line = struct.pack("<BBHQ", 3, 2, 0, at) + b"a line of %d" % at
        channel.sendall(frame(0x86, line, stream))
    return "done"
"""
    deploy(server, tmp_path, name, attack)
    reply = server.api.invoke(name, {"attack": True}).expect(200)
    lines = server.http.get(f"/api/v1/runs/{reply.headers['x-run-id']}/logs").expect(200).json()["items"]
    told = [line for line in lines if line["message"].startswith("a line of")]
    assert len(told) == 3, lines
    year = time.strftime("%Y", time.gmtime())
    assert all(line["at"].startswith(year) for line in told), told


def test_a_flood_outside_of_runs_loses_nothing_of_a_neighbour(
    server: Server, tmp_path: Path, name: str, neighbour: Callable[[], float]
) -> None:
    attack = """
def forever():
    line = b"a line outside of runs\\n" * 2000
    while True:
        os.write(1, line)

def attack(event):
    threading.Thread(target=forever, daemon=True).start()
    return "begun"
"""
    deploy(server, tmp_path, name, attack)
    lost, before = server.metric("faas_run_records_dropped_total"), log_bytes(server)
    server.api.invoke(name, {"attack": True}).expect(200)
    calls, slowest, until_then = 0, 0.0, time.monotonic() + 5
    while time.monotonic() < until_then:
        calls, slowest = calls + 1, max(slowest, neighbour())
    assert server.metric("faas_run_records_dropped_total") == lost
    assert log_bytes(server) - before < 16 << 20, f"{log_bytes(server) - before >> 20} MB of log"
    assert slowest < 2, f"a neighbour waited {slowest:.2f} s"
    listed = server.http.get(f"/api/v1/runs?function={name[:50]}-beside&limit=200").expect(200).json()["items"]
    assert len(listed) == min(200, calls + 1), "runs of a neighbour are missing"


def test_descriptors_in_frames_hold_up_nobody(
    server: Server, tmp_path: Path, name: str, neighbour: Callable[[], float]
) -> None:
    attack = """
def attack(event):
    refused = passed = 0
    for _ in range(20):
        memory = os.memfd_create("large")
        for _ in range(40):
            os.write(memory, bytes(1 << 20))
        line = struct.pack("<BBHQ", 1, 2, 0, int(time.time() * 1000)) + b"with a descriptor"
        try:
            socket.send_fds(channel, [frame(0x86, line, stream)], [memory])
            passed += 1
        except PermissionError:
            refused += 1
        os.close(memory)
    return {"passed": passed, "refused": refused}
"""
    deploy(server, tmp_path, name, attack, memory="256MB", timeout="30s")
    outcome = {}

    def call() -> None:
        outcome.update(server.api.invoke(name, {"attack": True}, timeout=60).expect(200).json())

    calling = threading.Thread(target=call)
    calling.start()
    slowest = 0.0
    while calling.is_alive():
        slowest = max(slowest, neighbour())
    assert outcome["passed"] + outcome["refused"] == 20, outcome
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    if release >= (6, 16):
        assert outcome["refused"] == 20, "this kernel can refuse descriptors"
    assert slowest < 2, f"a neighbour waited {slowest:.2f} s"
