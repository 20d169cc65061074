"""Functions with a network under load: many connections, many bytes, long silence, many instances, and sudden ends."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness import Server, until, write_function
from harness.far_end import FarEnd
from harness.network import OwnNetwork

pytestmark = pytest.mark.needs("root", "tun")

INSIDE = "10.213.0.1"
# For how long a WebSocket is kept open, and how many instances come and go; in full with `FAAS_TEST_LONG=1`.
LONG = os.environ.get("FAAS_TEST_LONG") == "1"
SECONDS, INSTANCES = (600, 200) if LONG else (12, 24)
GIGABYTE = 1_000_000_000
# What a process may grow by while bytes pass through it, whatever their number.
GROWTH = 48 << 20

PYTHON = """
import base64, os, socket, struct, time

held = []


def connect(host, port):
    return socket.create_connection((host, port), timeout=60)


def hold(host, port, count):
    for number in range(len(held), count):
        held.append(connect(host, port))
        held[-1].sendall(b"echo\\n")
    return exchange()


def exchange():
    for number, one in enumerate(held):
        one.sendall(b"%d\\n" % number)
    return sum(one.recv(100) == b"%d\\n" % number for number, one in enumerate(held))


def send(host, port, count):
    block = memoryview(bytes(1 << 20))
    with connect(host, port) as one:
        one.sendall(b"take %d\\n" % count)
        for start in range(0, count, 1 << 20):
            one.sendall(block[: count - start])
        return one.recv(100).decode()


def take(host, port, count):
    room, got = bytearray(1 << 20), 0
    with connect(host, port) as one:
        one.sendall(b"send %d\\n" % count)
        while piece := one.recv_into(room):
            got += piece
    return got


def frame(kind, payload):
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return struct.pack("BB", 0x80 | kind, 0x80 | len(payload)) + mask + masked


def websocket(host, port, seconds):
    with connect(host, port) as one:
        key = base64.b64encode(os.urandom(16)).decode()
        one.sendall(f"GET / HTTP/1.1\\r\\nHost: {host}\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                    f"Sec-WebSocket-Key: {key}\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n".encode())
        stream = one.makefile("rb")
        while stream.readline().strip():
            pass
        end, pings = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            kind, length = stream.read(2)
            payload = stream.read(length)
            assert kind & 15 == 9, kind
            one.sendall(frame(10, payload))
            pings += 1
        one.sendall(frame(1, b"still here"))
        while True:
            kind, length = stream.read(2)
            payload = stream.read(length)
            if kind & 15 == 1:
                return [pings, payload.decode()]


def handler(do, args=()):
    return globals()[do](*args)
"""


@pytest.fixture(scope="module")
def far_end() -> Iterator[FarEnd]:
    with OwnNetwork(INSIDE), FarEnd(INSIDE, ping_every=20.0 if LONG else 1.0) as far_end:
        yield far_end


@pytest.fixture(scope="module")
def server(far_end: FarEnd) -> Iterator[Server]:
    with Server(env={"FAAS_EGRESS_PRIVATE": f"{INSIDE}/32"}) as server:
        settings: dict[str, Any] = {"network": "egress", "timeout": "15m", "memory": "256MB"}
        # On a small machine, the files of a process are the fewer the more processes a sandbox may have.
        settings["limits.pids"] = 16
        server.deploy(write_function(server.home / "src", "reach", PYTHON, **settings))
        yield server


def do(server: Server, name: str, what: str, *args: Any) -> Any:
    """What a function says of it."""
    reply = server.api.invoke(name, {"do": what, "args": list(args)}, timeout=900).expect(200)
    return reply.json()["result"]


def network_process(server: Server) -> int:
    """The child of a server that speaks for sandboxes."""
    children = Path(f"/proc/{server.pid}/task").glob("*/children")
    pids = [int(pid) for path in children for pid in path.read_text().split()]
    [pid] = [pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"faas-net\0")]
    return pid


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) << 10


def test_a_thousand_connections_of_one_function_stay_and_cost_little(server: Server, far_end: FarEnd) -> None:
    where = (far_end.address, far_end.port)
    assert do(server, "reach", "hold", *where, 1) == 1
    process = network_process(server)
    before = resident(process), resident(server.pid)
    assert do(server, "reach", "hold", *where, 1_000) == 1_000
    # They belong to the instance, and are there in the next call.
    for _ in range(3):
        assert do(server, "reach", "exchange") == 1_000
    grown = resident(process) - before[0], resident(server.pid) - before[1]
    print("1,000 connections:", [f"{part >> 10} KB" for part in grown])
    assert max(grown) < GROWTH, grown


def test_a_gigabyte_each_way_costs_no_memory(server: Server, far_end: FarEnd) -> None:
    where = (far_end.address, far_end.port)
    assert do(server, "reach", "take", *where, 1 << 20) == 1 << 20
    process = network_process(server)
    before = resident(process), resident(server.pid)
    most = [0, 0]
    with ThreadPoolExecutor(1) as apart:
        for what, wanted in (("send", "0 left\n"), ("take", GIGABYTE)):
            began = time.monotonic()
            going = apart.submit(do, server, "reach", what, *where, GIGABYTE)
            while not going.done():
                now = resident(process), resident(server.pid)
                most = [max(most[at], now[at] - before[at]) for at in range(2)]
                time.sleep(0.02)
            assert going.result() == wanted
            print(f"{what} of a gigabyte: {time.monotonic() - began:.1f} s")
    print("a gigabyte each way:", [f"{part >> 10} KB" for part in most])
    assert max(most) < GROWTH, most


def test_a_websocket_stays_open_through_idle_time(server: Server, far_end: FarEnd) -> None:
    before = len(far_end.pongs)
    pings, said = do(server, "reach", "websocket", far_end.address, far_end.port, SECONDS)
    assert said == "still here"
    assert pings >= SECONDS / far_end.ping_every - 1
    until(lambda: len(far_end.pongs) - before >= pings, "the last answer to a ping")


@pytest.mark.parametrize("ordinary", [False, pytest.param(True, marks=pytest.mark.needs("ordinary", "userns"))])
def test_instances_come_and_go_and_a_killed_server_leaves_nothing(far_end: FarEnd, ordinary: bool) -> None:
    server = Server(env={"FAAS_EGRESS_PRIVATE": f"{INSIDE}/32"}, ordinary_user=ordinary)
    if ordinary:
        open_device(server)
    with server:
        where = (far_end.address, far_end.port)
        scaling = {"max": 8, "concurrency": 1}
        code = PYTHON.replace("return globals()", "time.sleep(0.2); return globals()")
        opened = set()
        for number in range(INSTANCES // 8):
            # Each version has instances of its own, and those of the one before end.
            folder = write_function(
                server.home / "src", "many", f"{code}\n# {number}\n", scaling=scaling, network="egress", timeout="60s"
            )
            server.deploy(folder)
            with ThreadPoolExecutor(8) as pool:
                calls = [pool.submit(do, server, "many", "hold", *where, 3) for _ in range(8)]
                assert all(call.result() >= 3 for call in calls)
            opened |= set(namespaces(server))
        assert len(opened) >= INSTANCES // 2, f"{len(opened)} networks"
        process = network_process(server)
        devices = 2 * len(namespaces(server))
        until(lambda: descriptors(process) <= devices + 80, "descriptors of what has ended are closed", within=60)
        server.kill()
        until(lambda: server.footprint.alive() == [], "no process is left", within=60)
        assert not set(namespaces(server)) & opened, "a network is left"
        server.start()
        folder = write_function(server.home / "src", "many", PYTHON, network="egress", timeout="60s")
        server.deploy(folder)
        assert do(server, "many", "hold", *where, 3) == 3
        assert server.stop() == 0
        until(lambda: server.footprint.leftovers() == [], "nothing is left", within=60)


def namespaces(server: Server) -> list[str]:
    """The networks of a server's sandboxes, as the kernel numbers them."""
    own = os.readlink("/proc/thread-self/ns/net")
    server.footprint.look(server.pid)
    found = set()
    for process in server.footprint.processes:
        try:
            found.add(os.readlink(f"/proc/{process.pid}/ns/net"))
        except OSError:
            continue
    return sorted(found - {own})


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def open_device(server: Server) -> None:
    """Gives the server a `/dev/net/tun` of its own that everybody may open."""
    node = server.home / "tun"
    os.mknod(node, 0o666 | 0o020000, os.makedev(10, 200))
    node.chmod(0o666)
    script = 'mount --bind "$0" /dev/net/tun && exec "$@"'
    server.prefix = ["unshare", "--mount", "sh", "-c", script, str(node), *server.prefix]
