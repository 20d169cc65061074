"""Clients that hold connections and do nothing, or little: others must not notice."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server, until, write_function

from product.functions import ADD

# How many connections of each hostile kind; the long form is ten thousand (bench/connections.py measures it).
HOSTILE = int(os.environ.get("FAAS_TEST_CONNECTIONS", "500"))
BIG = "def handler(event):\n    return bytes(8 << 20)\n"
STREAM = """
import asyncio


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(3):
        await send({"type": "http.response.body", "body": b"x" * 10, "more_body": True})
        await asyncio.sleep(1.2)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
"""
SHORT = {"FAAS_HEAD_TIMEOUT": "1s", "FAAS_IDLE_TIMEOUT": "2s", "FAAS_SEND_TIMEOUT": "2s", "FAAS_METRICS_OPEN": "1"}


def connect(server: Server, sent: bytes = b"") -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", server.port), timeout=15)
    if sent:
        opened.sendall(sent)
    return opened


@contextlib.contextmanager
def many(server: Server, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            opened.append(connect(server, sent))
        yield opened
    finally:
        for connection in opened:
            connection.close()


def closed(server: Server, reason: str) -> float:
    text = server.http.get("/metrics").expect(200).body.decode()
    line = next(
        line for line in text.splitlines() if line.startswith(f'faas_connections_closed_total{{reason="{reason}"')
    )
    return float(line.rpartition(" ")[2])


def is_closed(connection: socket.socket, within: float) -> bool:
    """Whether the server ends the connection within so many seconds, without an answer."""
    connection.settimeout(within)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    """A server with little patience."""
    with Server(env=SHORT) as server:
        yield server


def resident(server: Server) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) << 10


def descriptors(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def test_idle_and_slow_connections_do_not_hinder_others(tmp_path: Path, name: str) -> None:
    with Server(env={"FAAS_CONNECTIONS_MAX": str(HOSTILE), "FAAS_PARKED": "0"}) as server:
        server.deploy(write_function(tmp_path, name, ADD))
        server.api.call(name, {"x": 1, "y": 2}).expect(200)
        before, memory = descriptors(server), resident(server)
        with many(server, HOSTILE, b""), many(server, HOSTILE, b"POST /fn/x HTTP/1.1\r\nHost: x\r\nX-Slow: "):
            for _ in range(50):
                assert server.api.call(name, {"x": 1, "y": 2}).expect(200).json() == {"result": 3}
            assert descriptors(server) <= before + HOSTILE + 64, "more connections than configured"
            assert resident(server) - memory < HOSTILE * (64 << 10) + (16 << 20)
            assert closed(server, "evicted") > 0, "nobody gave way"
            assert closed(server, "refused") == 0
        until(lambda: descriptors(server) <= before + 8, "descriptors are given back")


def test_a_slow_head_is_ended(strict: Server) -> None:
    before = closed(strict, "slow_head")
    with connect(strict, b"GET /healthz HT") as slow:
        for byte in b"TP":
            time.sleep(0.2)
            slow.sendall(bytes([byte]))
        assert is_closed(slow, 10)
    assert closed(strict, "slow_head") > before


def test_an_idle_connection_is_ended_before_and_after_a_request(strict: Server) -> None:
    before = closed(strict, "idle")
    with connect(strict) as fresh:
        assert is_closed(fresh, 10)
    with connect(strict, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") as used:
        assert used.recv(4096).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        assert is_closed(used, 10)
        assert time.monotonic() - began >= 1.5, "ended without the patience of a used connection"
    assert closed(strict, "idle") >= before + 2


def test_a_client_that_does_not_read_is_ended(strict: Server, tmp_path: Path, name: str) -> None:
    strict.deploy(write_function(tmp_path, name, BIG))
    request = f"GET /fn/{name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {strict.key}\r\n\r\n".encode()
    before = closed(strict, "slow_reader")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", strict.port))
        slow.sendall(request)
        until(lambda: closed(strict, "slow_reader") > before, "the reader is given up", within=20)
    until(lambda: strict.api.call(name, timeout=30).status == 200, "others are answered")


def test_a_stream_with_pauses_is_not_idle(strict: Server, tmp_path: Path, name: str) -> None:
    strict.deploy(write_function(tmp_path, name, STREAM, entrypoint="main:app"))
    assert strict.http.get(f"/fn/{name}").expect(200).body == b"x" * 30


def test_a_request_has_limits_on_its_head(server: Server) -> None:
    for headers in ([f"X-{n}: 1" for n in range(200)], [f"X-{n}: {'y' * 4000}" for n in range(30)]):
        head = "\r\n".join(["GET /healthz HTTP/1.1", "Host: x", *headers, "", ""])
        with connect(server, head.encode()) as big:
            assert big.recv(64).startswith(b"HTTP/1.1 431"), headers[0]


def test_when_all_are_busy_the_next_is_told_at_once(tmp_path: Path, name: str) -> None:
    code = "import time\n\n\ndef handler(event):\n    time.sleep(30)\n"
    with Server(env={"FAAS_CONNECTIONS_MAX": "16", "FAAS_DRAIN": "1s"}) as server:
        server.deploy(write_function(tmp_path, name, code, scaling={"max": 1}))
        request = f"GET /fn/{name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n\r\n".encode()
        with many(server, 16, request) as busy:

            def refused() -> bool:
                busy.append(connect(server, request))
                busy[-1].settimeout(0.5)
                with contextlib.suppress(TimeoutError, ConnectionError):
                    answer = busy[-1].recv(4096)
                    return answer.startswith(b"HTTP/1.1 503") and b"Retry-After" in answer
                return False

            until(refused, "a connection too many is refused")
        until(lambda: server.http.get("/healthz").status == 200, "places are free again")
