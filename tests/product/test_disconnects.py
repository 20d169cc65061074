"""Clients that go away during the upload, in the handler and during the download, and what they leave: nothing.

300 of them in the short form; `FAAS_LONG=1` sends 10,000.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import socket
import struct
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness import Server, until, write_function

CALLS = 10_000 if os.environ.get("FAAS_LONG") == "1" else 300
CLIENTS = 8
INSTANCES = 3
UPLOAD = 300_000
WAYS = ("upload", "handler", "download")

SYNC = """
import time

def parts(size):
    for _ in range(0, size, 10_000):
        yield b"x" * 10_000

def handler(event, context):
    query = context.request.query
    time.sleep(float(query.get("sleep", 0)))
    if "stream" in query:
        return parts(int(query["stream"]))
    return {"nonce": query["nonce"], "length": len(context.request.body)}
"""
ASGI = """
import asyncio, json
from urllib.parse import parse_qsl

async def handler(scope, receive, send):
    query = dict(parse_qsl(scope["query_string"].decode()))
    length, more = 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        length, more = length + len(event["body"]), event["more_body"]
    await asyncio.sleep(float(query.get("sleep", 0)))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(0, int(query.get("stream", 0)), 10_000):
        await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
    answer = json.dumps({"nonce": query["nonce"], "length": length}).encode()
    await send({"type": "http.response.body", "body": answer})
"""
NODE = """
export default {
  async fetch(request) {
    const query = new URL(request.url).searchParams;
    let length = 0;
    for await (const part of request.body ?? []) length += part.length;
    await new Promise((resolve) => setTimeout(resolve, 1000 * Number(query.get("sleep") ?? 0)));
    if (query.has("stream")) {
      let left = Number(query.get("stream"));
      const pull = (controller) => {
        if (left <= 0) return controller.close();
        left -= 10_000;
        controller.enqueue(new Uint8Array(10_000));
      };
      return new Response(new ReadableStream({ pull }));
    }
    return Response.json({ nonce: query.get("nonce"), length });
  },
};
"""
FUNCTIONS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "sync": ({"main.py": SYNC}, {"runtime": "python"}),
    "asgi": ({"main.py": ASGI}, {"runtime": "python"}),
    "node": ({"main.mjs": NODE}, {"runtime": "node", "entrypoint": "main:default"}),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One where no runtime waits: those hold descriptors too, and come and go with the demand."""
    with Server(env={"FAAS_PARKED": "0"}) as started:
        yield started


class Visitor:
    """One client of one function."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name = server, name

    def head(self, query: str, length: int) -> bytes:
        """A request up to its body."""
        lines = [f"POST /fn/{self.name}/?{query} HTTP/1.1", "Host: x", f"Authorization: Bearer {self.server.key}"]
        return "\r\n".join([*lines, f"Content-Length: {length}\r\n\r\n"]).encode()

    def vanish(self, way: str, chance: random.Random) -> None:
        """Begins a call and goes away in the middle, by a reset or in all form."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as opened:
            if way == "upload":
                opened.sendall(self.head("nonce=gone", UPLOAD) + b"y" * chance.randrange(UPLOAD))
            elif way == "handler":
                opened.sendall(self.head(f"nonce=gone&sleep={chance.choice((0.02, 0.5))}", 2) + b"{}")
            else:
                opened.sendall(self.head("nonce=gone&stream=4000000", 2) + b"{}")
                assert opened.recv(chance.choice((15, 100_000))).startswith(b"HTTP/1.1 200")
            if way != "download":
                # Nothing is waited for: sometimes the call has not begun by then, and sometimes it is over.
                opened.settimeout(chance.random() / 50 + 0.001)
                with contextlib.suppress(TimeoutError):
                    opened.recv(1)
            if chance.random() < 0.5:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def ask(self, length: int) -> None:
        """A call whose answer must be its own."""
        nonce = uuid.uuid4().hex
        reply = self.server.api.http.request("POST", f"/fn/{self.name}/?nonce={nonce}", json.dumps("z" * length))
        assert reply.expect(200).json() == {"nonce": nonce, "length": length + 2}


def metric(server: Server, name: str) -> float:
    """A metric of the server, or of one function by its label, in sum."""
    page = server.api.http.get("/metrics").expect(200).body.decode()
    samples = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", page, re.M)
    assert samples, f"no metric {name}"
    return sum(map(float, samples))


def open_files(server: Server) -> int:
    """Descriptors of the server's process."""
    return len(os.listdir(f"/proc/{server.pid}/fd"))


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_clients_that_go_away_leave_nothing(server: Server, tmp_path: Path, name: str, kind: str) -> None:
    files, settings = FUNCTIONS[kind]
    server.deploy(write_function(tmp_path, name, files, scaling={"max": INSTANCES}, **settings))
    visitor = Visitor(server, name)
    visitor.ask(10)
    before = open_files(server)

    def visit(number: int) -> None:
        chance = random.Random(number)
        visitor.vanish(WAYS[number % 3] if number % 4 else chance.choice(WAYS), chance)
        if number % 5 == 0:
            visitor.ask(chance.choice((10, 200_000)))

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(visit, range(CALLS // len(FUNCTIONS))))
    until(lambda: metric(server, "faas_in_flight") == 0, "no call is left running")
    until(lambda: metric(server, "faas_bodies_held_bytes") == 0, "no body is held any more")
    assert 0 <= metric(server, "faas_instances") <= INSTANCES + 2
    # The pool is whole: as many calls at once as it ever took, each with its own answer.
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(visitor.ask, [10, 200_000] * 20))
    until(lambda: open_files(server) <= before + 3 * INSTANCES + CLIENTS, "descriptors are given back")
    assert server.api.function(name)["instances"] in range(1, INSTANCES + 1)


WORKS_ON = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    late = scope["path"].endswith("late")
    await send({"type": "http.response.body", "body": b"ok", "more_body": late})
    for _ in range(3):
        await asyncio.sleep(0.1)
    print("worked on")
    if late:
        await send({"type": "http.response.body", "body": b""})
"""


@pytest.mark.parametrize("path", ["", "late"])
def test_a_caller_who_has_the_announced_length_has_not_gone_away(
    server: Server, tmp_path: Path, name: str, path: str
) -> None:
    """A connection drops the body when its length is out; what the application still does is part of the run."""
    server.deploy(write_function(tmp_path, name, WORKS_ON, entrypoint="main:app"))
    for _ in range(3):
        reply = server.http.get(f"/fn/{name}/{path}").expect(200)
        assert reply.body == b"ok"
        run = until(lambda id=reply.headers["x-run-id"]: ended(server, id), what="the run has ended")
        assert run["state"] == "succeeded", run
        lines = server.http.get(f"/api/v1/runs/{run['id']}/logs").expect(200).json()["items"]
        assert [line["message"] for line in lines] == ["worked on"]


def ended(server: Server, id: str) -> dict[str, Any] | None:
    reply = server.http.get(f"/api/v1/runs/{id}")
    return reply.json() if reply.status == 200 and reply.json()["state"] not in ("queued", "running") else None
