"""Replies made to reach beyond their own answer: into the next one on the connection, or into the platform's words."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from harness import Server, write_function

# Writes a reply past the shim, as frames of its own: nothing inside has checked it.
CODE = """
import json, os, struct

def frame(kind, payload, end=0):
    return struct.pack("<IBBHI", len(payload), kind, end, 0, 1) + payload

def handler(event):
    head = json.dumps({"status": event["status"], "headers": event["headers"]}).encode()
    os.write(3, frame(0x83, head) + frame(0x84, event["body"].encode()) + frame(0x85, b"", 1))
    return "late"
"""
SECOND = "HTTP/1.1 200 OK\r\nX-Forged: 1\r\nContent-Length: 6\r\n\r\nforged"
HEADS = {
    "a shorter length": (200, [["content-length", "2"]]),
    "a longer length": (200, [["content-length", "5000"]]),
    "two lengths": (200, [["content-length", "2"], ["content-length", "3"]]),
    "a length that is no number": (200, [["content-length", "-1"]]),
    "chunks of its own": (200, [["transfer-encoding", "chunked"]]),
    "chunks and a length": (200, [["transfer-encoding", "chunked"], ["content-length", "2"]]),
    "line breaks in a value": (200, [["x-a", "b\r\nX-Forged: 1\r\n\r\n" + SECOND]]),
    "line breaks in a name": (200, [["x-a: b\r\nX-Forged", "1"]]),
    "a status without a body": (204, []),
    "a status that is cached": (304, []),
    "a status that goes on": (100, []),
    "a status that switches": (101, [["upgrade", "websocket"], ["connection", "upgrade"]]),
    "a status that is none": (7, []),
    "a trailer": (200, [["trailer", "x-forged"], ["te", "trailers"], ["connection", "close, x-run-id"]]),
}


def _answers(server: Server, name: str, event: dict[str, object], method: str) -> tuple[bytes, bytes]:
    """What comes for a call, and what comes for `/healthz` on the same connection afterwards."""
    body = json.dumps(event).encode()
    head = f"{method} /fn/{name}/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as opened:
        opened.sendall(f"{head}\r\nX-API-Key: {server.key}\r\n\r\n".encode() + body)
        first = _one_answer(opened, has_body=method != "HEAD")
        try:
            opened.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            second = _one_answer(opened, has_body=True)
        except OSError:
            second = b""
    return first, second


def _one_answer(opened: socket.socket, has_body: bool) -> bytes:
    """Reads as a proxy with a pool of connections does: one answer by its own head, or until the connection ends."""
    with opened.makefile("rb", buffering=0) as stream:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = stream.read(1)
            if not byte:
                return head
            head += byte
        lines = head.lower().split(b"\r\n")
        lengths = [int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")]
        assert len(set(lengths)) <= 1, f"two lengths in {head!r}"
        assert not (lengths and b"transfer-encoding: chunked" in lines), f"chunks and a length in {head!r}"
        if not has_body or lines[0].split()[1] in (b"204", b"304"):
            return head
        if lengths:
            body = b""
            while len(body) < lengths[0] and (more := stream.read(lengths[0] - len(body))):
                body += more
            return head + body
        if b"transfer-encoding: chunked" not in lines:
            return head
        body = b""
        while size := int(stream.readline().strip() or b"0", 16):
            body += stream.read(size)
            stream.readline()
        stream.readline()
        return head + body


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("kind", HEADS)
def test_a_reply_ends_where_it_ends(server: Server, tmp_path: Path, name: str, kind: str, method: str) -> None:
    server.deploy(write_function(tmp_path, name, CODE))
    status, headers = HEADS[kind]
    event = {"status": status, "headers": headers, "body": "hi" + SECOND}
    first, second = _answers(server, name, event, method)
    head, _, _ = first.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), first
    assert b"x-forged:" not in head.lower(), first
    assert second == b"" or (second.startswith(b"HTTP/1.1 200") and b"forged" not in second), second
    assert server.http.get("/healthz").status == 200


def test_the_platforms_own_headers_cannot_be_forged(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, CODE))
    words = ("x-run-id", "x-call-id", "x-request-id", "x-cold-start", "x-duration-ms", "x-function-version")
    event = {"status": 200, "headers": [[word, "forged"] for word in (*words, "x-error-source")], "body": "{}"}
    reply = server.api.call(name, event)
    forged = [word for word in words if reply.headers.get(word, "forged") == "forged"]
    assert reply.status != 200 or forged == [], reply.headers


def test_a_reply_without_an_end_stops_at_the_limit(server: Server, tmp_path: Path, name: str) -> None:
    """Chunks for ever, past the shim's own count: the caller gets no more than the limit, and the server keeps none."""
    code = """
import os, struct

def handler(event):
    os.write(3, struct.pack("<IBBHI", 27, 0x83, 0, 0, 1) + b'{"status":200,"headers":[]}')
    chunk = struct.pack("<IBBHI", 262144, 0x84, 0, 0, 1) + bytes(262144)
    while True:
        view = memoryview(chunk)
        while view:
            view = view[os.write(3, view):]
"""
    server.deploy(write_function(tmp_path, name, code, timeout="5s"))
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as opened:
        opened.sendall(f"GET /fn/{name}/ HTTP/1.1\r\nHost: x\r\nX-API-Key: {server.key}\r\n\r\n".encode())
        got = 0
        while got < 64 << 20 and (more := opened.recv(1 << 20)):
            got += len(more)
            if got < 1 << 20 and b"FN_" in more:
                break
    assert got <= 11 << 20, f"{got} bytes came through"
    assert server.http.get("/healthz").status == 200


def test_descriptors_cannot_be_left_with_the_server(server: Server, tmp_path: Path, name: str) -> None:
    """Descriptors that come along with frames are dropped, however many."""
    code = """
import array, os, socket, struct

def handler(event):
    channel = socket.socket(fileno=os.dup(3))
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(200)]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
    pong = struct.pack("<IBBHI", 0, 0x87, 0, 0, 0)
    log = struct.pack("<IBBHI", 14, 0x86, 0, 0, 1) + bytes(12) + b"hi"
    for _ in range(20):
        channel.sendmsg([log], rights)
    return "sent"
"""
    # The kernel ends a read before such a message: the reader may take that for the end, which costs only this call.
    server.deploy(write_function(tmp_path, name, code, timeout="1s"))
    before = _open_files(server)
    for _ in range(5):
        server.api.invoke(name)
    assert _open_files(server) - before < 60, "the server kept what it was given"
    assert server.http.get("/healthz").status == 200


def _open_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
