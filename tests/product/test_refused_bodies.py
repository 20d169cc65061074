"""A request that is refused has a body all the same. The next request on the connection must not suffer from it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from harness import Server, write_function

from product.functions import ADD

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def _head(path: str, length: int, key: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {length}\r\n\r\n"]).encode()


def _answer(opened: socket.socket) -> tuple[int, dict[str, str]]:
    """One answer's status and headers; its body is read."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = opened.recv(65536)
        assert more, f"cut after {got!r}"
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += opened.recv(65536)
    return int(first.split()[1]), headers


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [("/fn/{add}/", "nobody", 401), ("/fn/nobody/", "", 404), ("/api/v1/functions/{add}/invoke", "nobody", 401)],
)
def test_a_small_body_leaves_the_connection_whole(
    server: Server, tmp_path: Path, name: str, path: str, key: str, status: int
) -> None:
    """The body comes after the answer could have been given, as with clients that send it in a packet of its own."""
    server.deploy(write_function(tmp_path, name, ADD))
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as opened:
        for _ in range(5):
            opened.sendall(_head(path.format(add=name), 12, key or server.key))
            opened.settimeout(0.1)
            with pytest.raises(TimeoutError):
                opened.recv(1)
            opened.settimeout(10)
            opened.sendall(b'{"x": 1    }')
            got, headers = _answer(opened)
            assert (got, headers.get("connection")) == (status, None)
            opened.sendall(HEALTH)
            assert _answer(opened)[0] == 200


def test_a_large_body_ends_the_connection_in_so_many_words(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as opened:
        opened.sendall(_head("/fn/nobody/", 1 << 20, server.key) + bytes(1000))
        got, headers = _answer(opened)
        assert (got, headers.get("connection")) == (404, "close")


def test_a_body_that_never_comes_holds_nothing_up(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as opened:
        opened.sendall(_head("/fn/nobody/", 12, server.key))
        got, headers = _answer(opened)
        assert (got, headers.get("connection")) == (404, "close")
