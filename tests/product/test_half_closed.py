"""Clients that close their side of the connection as soon as they have asked, as `nc -N` does."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest
from harness import Server, until, write_function

from product.metrics import sample

CODE = """
import time


def parts():
    for _ in range(15):
        time.sleep(0.1)
        yield b"part"


def handler(event, context):
    query = context.request.query
    time.sleep(float(query.get("sleep", 0)))
    if "stream" in query:
        return parts()
    return b"x" * int(query.get("size", 5))
"""


@pytest.fixture
def sleeper(server: Server, tmp_path: Path, name: str) -> str:
    server.deploy(write_function(tmp_path, name, CODE, auth="public", timeout="60s"))
    server.http.get(f"/fn/{name}/").expect(200)
    return name


def asked(server: Server, path: str, version: str = "1.1") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(f"GET {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode())
    return connection


def answer(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    got = b""
    with connection, contextlib.suppress(ConnectionError):
        while part := connection.recv(1 << 16):
            got += part
    return got


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("query", ["", "sleep=0.3", "stream=1", "size=8000000"])
def test_a_client_that_has_asked_all_is_answered(server: Server, sleeper: str, query: str, version: str) -> None:
    connection = asked(server, f"/fn/{sleeper}/?{query}", version)
    connection.shutdown(socket.SHUT_WR)
    got = answer(connection)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")), got[:200]
    assert body.count(b"part") == 15 if query == "stream=1" else len(body) == (8_000_000 if "size" in query else 5)


def test_a_client_that_goes_away_ends_its_call(server: Server, sleeper: str) -> None:
    connection = asked(server, f"/fn/{sleeper}/?sleep=50")
    until(lambda: sample(server, "faas_in_flight", function=sleeper) == 1, "the call runs")
    connection.close()
    until(lambda: sample(server, "faas_in_flight", function=sleeper) == 0, "the call has ended", within=20)


def test_half_a_request_is_not_waited_for(server: Server, sleeper: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(f"POST /fn/{sleeper}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf".encode())
        connection.shutdown(socket.SHUT_WR)
        assert b"200" not in answer(connection)[:20]
