"""Frames of HTTP/2 that bring no request on, and what a request may name as its host, over raw sockets."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server, until, write_function

from product.functions import ADD
from product.metrics import sample
from product.test_edge import Unread

DATA, HEADERS, PRIORITY, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 2, 4, 6, 7, 8
ENHANCE_YOUR_CALM = 11
# More than any client has a reason to send without a request, and little enough for a test.
FLOOD = 200_000


class Client:
    """A connection whose preface and settings are sent."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        self.pending = b""
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Unread.frame(SETTINGS, 0, 0, b""))

    def ask(self, method: bytes, path: bytes, authority: bytes | None, flags: int = 5) -> None:
        block = Unread.literal(b":method", method) + b"\x86" + Unread.literal(b":path", path)
        if authority is not None:
            block += Unread.literal(b":authority", authority)
        self.socket.sendall(Unread.frame(HEADERS, flags, 1, block))

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """What has come, without waiting for more than there is."""
        while True:
            size = int.from_bytes(self.pending[:3], "big")
            if len(self.pending) >= 9 + size:
                yield self.pending[3], self.pending[9 : 9 + size]
                self.pending = self.pending[9 + size :]
                continue
            if not select.select([self.socket], [], [], 0)[0]:
                return
            part = self.socket.recv(1 << 16)
            if not part:
                raise EOFError
            self.pending += part

    def answer(self) -> bytes:
        """The first header block that comes."""
        while True:
            for kind, payload in self.frames():
                if kind == HEADERS:
                    return payload
            self.pending += self.socket.recv(1 << 16) or pytest.fail("the connection ended without an answer")


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    opened = Client(server)
    yield opened
    opened.socket.close()


FLOODS = {
    "pings": Unread.frame(PING, 0, 0, b"12345678"),
    "answered pings": Unread.frame(PING, 1, 0, b"12345678"),
    "settings": Unread.frame(SETTINGS, 0, 0, b""),
    "windows": Unread.frame(WINDOW, 0, 0, (1).to_bytes(4, "big")),
    "priorities": Unread.frame(PRIORITY, 0, 1, bytes(4) + b"\x10"),
    "empty data": Unread.frame(DATA, 0, 1, b""),
    "padding": Unread.frame(DATA, 8, 1, b"\x07" + bytes(7)),
    "unknown frames": Unread.frame(0x42, 0, 0, b""),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_frames_without_requests_end_their_connection(
    server: Server, client: Client, tmp_path: Path, name: str, kind: str
) -> None:
    # Parts of bodies without bytes are counted by the library as well.
    reasons = ("flood", "broken") if kind in ("empty data", "padding") else ("flood",)

    def ended() -> float:
        return sum(sample(server, "faas_connections_closed_total", reason=reason) for reason in reasons)

    before = ended()
    if kind in ("empty data", "padding"):
        # Held open by a body that does not come.
        server.deploy(write_function(tmp_path, name, ADD, auth="public"))
        client.ask(b"POST", f"/fn/{name}".encode(), b"a", flags=4)
    sent, goodbye = 0, b""
    with contextlib.suppress(ConnectionError, EOFError):
        while sent < FLOOD and not goodbye:
            client.socket.sendall(FLOODS[kind] * 100)
            sent += 100
            goodbye = next((payload for kind, payload in client.frames() if kind == GOAWAY), b"")
    with contextlib.suppress(ConnectionError, EOFError):
        goodbye = goodbye or next((payload for kind, payload in client.frames() if kind == GOAWAY), b"")
    assert sent < FLOOD, "nobody minds"
    assert not goodbye or int.from_bytes(goodbye[4:8], "big") == ENHANCE_YOUR_CALM
    until(lambda: ended() > before, "it is counted")


def test_a_reason_is_given_where_the_client_listens(client: Client) -> None:
    client.ask(b"GET", b"/healthz", b"a")
    client.answer()
    goodbye, batch = b"", 100
    for _ in range(FLOOD // batch):
        # In one piece, and answered before the next: nothing unread is left when the connection ends.
        client.socket.sendall(FLOODS["pings"] * batch)
        answered = 0
        while answered < batch and not goodbye:
            try:
                for kind, payload in client.frames():
                    answered += kind == PING
                    goodbye = payload if kind == GOAWAY else goodbye
            except EOFError:
                break
            if answered < batch:
                # More comes, or the end.
                select.select([client.socket], [], [], 15)
        if goodbye:
            break
    assert (goodbye[:4], goodbye[4:8]) == ((1).to_bytes(4, "big"), ENHANCE_YOUR_CALM.to_bytes(4, "big"))


@pytest.mark.parametrize(
    "host", ["u@a", "u:p@a", "@a", "a:b", "a:99999", "a%41", "[::1", "[a]", "a[::1]", "a,b", "a:1:2"]
)
def test_a_host_is_a_name_or_an_address(server: Server, client: Client, host: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as plain:
        plain.sendall(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert plain.recv(64).startswith(b"HTTP/1.1 400"), host
    with contextlib.suppress(EOFError, ConnectionError):
        client.ask(b"GET", b"/healthz", host.encode())
        # The library refuses some by a reset of the stream.
        for _ in range(100):
            for kind, payload in client.frames():
                if kind in (HEADERS, 3):
                    assert kind == 3 or b"\x8c" in payload[:4], f"{host} is taken"
                    return
            client.pending += client.socket.recv(1 << 16)


def test_a_request_without_a_host_is_refused(client: Client) -> None:
    client.ask(b"GET", b"/healthz", None)
    # The index of `:status 400` in HPACK's static table.
    assert b"\x8c" in client.answer()[:4]


@pytest.mark.parametrize("host", ["a", "a.b-c_d.example", "a:80", "a:", "127.0.0.1:8080", "[::1]", "[2001:db8::1]:443"])
def test_usual_hosts_are_taken(server: Server, client: Client, host: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as plain:
        plain.sendall(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert plain.recv(64).startswith(b"HTTP/1.1 200"), host
    client.ask(b"GET", b"/healthz", host.encode())
    assert client.answer()[:1] == b"\x88", f"{host} is refused"
