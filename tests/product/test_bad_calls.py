"""Calls that are wrong, and functions that misbehave: each has its own clear answer, and the server lives on."""

from __future__ import annotations

import contextlib
import http.client
import socket
from pathlib import Path

import pytest
from harness import Reply, Server, write_function

from product.functions import ADD, ECHO

BODY_MAX = 10 << 20


@pytest.fixture
def add(server: Server, tmp_path: Path, name: str) -> str:
    """One instance, so that a second call meets it."""
    server.deploy(write_function(tmp_path, name, ADD, scaling={"max": 1}))
    return name


def problem(reply, status: int, code: str) -> dict:
    """The answer of a platform failure: RFC 9457, with the catalogue's code."""
    reply.expect(status)
    assert reply.headers["content-type"].startswith("application/problem+json")
    body = reply.json()
    assert body["code"] == code, body
    assert body["status"] == status
    for field in ("type", "title", "detail", "request_id", "reason", "retry", "docs_url"):
        assert field in body, field
    return body


def test_an_unknown_function(server: Server) -> None:
    for reply in (
        server.api.call("no-such-function"),
        server.api.invoke("no-such-function"),
        server.http.get("/api/v1/functions/no-such-function"),
    ):
        problem(reply, 404, "FN_001")
    assert "FN_001" in server.cli("invoke", "no-such-function").exits(4).stderr


def test_an_unknown_route_and_method(server: Server) -> None:
    problem(server.http.get("/api/v1/no-such-thing"), 404, "FN_013")
    problem(server.http.request("PATCH", "/api/v1/runs"), 405, "FN_020")


def test_a_body_over_ten_megabytes(server: Server, add: str) -> None:
    too_large = b'"' + b"x" * BODY_MAX + b'"'
    for path in (f"/fn/{add}/", f"/api/v1/functions/{add}/invoke"):
        problem(_post_raw(server, path, too_large), 413, "FN_011")
    assert server.api.call(add, {"x": 1, "y": 2}).expect(200).json() == {"result": 3}


def test_a_chunked_body_over_ten_megabytes(server: Server, add: str) -> None:
    """No Content-Length tells beforehand: the bound is on what comes."""
    reply = _post_raw(server, f"/fn/{add}/", (b"x" * (1 << 20) for _ in range(12)))
    assert reply.status == 413


def test_a_body_of_just_ten_megabytes(server: Server, tmp_path: Path, name: str) -> None:
    code = "def handler(event):\n    return len(event)\n"
    server.deploy(write_function(tmp_path, name, code, memory="256MB"))
    body = b'"' + b"x" * (BODY_MAX - 2) + b'"'
    assert _post_raw(server, f"/fn/{name}/", body).expect(200).json() == BODY_MAX - 2


def test_a_reply_of_ten_megabytes(server: Server, tmp_path: Path, name: str) -> None:
    code = "def handler(event):\n    return 'x' * event['size']\n"
    server.deploy(write_function(tmp_path, name, code, memory="256MB"))
    assert len(server.api.call(name, {"size": BODY_MAX - 1}).expect(200).body) == BODY_MAX - 1
    over = server.api.call(name, {"size": BODY_MAX + 1})
    assert over.status in (413, 502), over.status
    assert server.api.call(name, {"size": 3}).expect(200).body == b"xxx"


@pytest.mark.parametrize("body", [b"{", b'{"x": }', b"\xff\xfe", b'{"x": 1, "y": 2} tail', b"NaN", b"'x'"])
def test_malformed_json(server: Server, add: str, body: bytes) -> None:
    reply = _post_raw(server, f"/fn/{add}/", body)
    assert reply.status in (400, 422), reply.body
    assert reply.json()["code"] == "FN_012"
    assert server.api.call(add, {"x": 1, "y": 2}).expect(200).headers["x-cold-start"] == "false"


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000]
)
def test_json_a_hundred_thousand_deep(server: Server, add: str, text: str) -> None:
    reply = _post_raw(server, f"/fn/{add}/", text.encode())
    assert reply.status in (400, 422), reply.body[:300]
    assert server.api.call(add, {"x": 1, "y": 2}).expect(200).headers["x-cold-start"] == "false"
    # The control plane reads JSON too.
    control = server.http.request("POST", "/api/v1/functions", text)
    assert control.status in (400, 422), control.body[:300]


def test_deep_json_to_an_event_handler(server: Server, tmp_path: Path, name: str) -> None:
    code = "def handler(event):\n    return type(event).__name__\n"
    server.deploy(write_function(tmp_path, name, code, scaling={"max": 1}))
    reply = _post_raw(server, f"/fn/{name}/", b"[" * 100_000)
    assert reply.status in (200, 400), reply.body[:300]
    assert server.api.call(name).expect(200).headers["x-cold-start"] == "false"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"x": 1}, "y"),
        ({"x": "one", "y": 2}, "x"),
        ({"x": 1, "y": 2, "z": 3}, "z"),
        ([1, 2], "x"),
        ({"x": None, "y": 1}, "x"),
    ],
)
def test_parameters_that_do_not_fit_are_named(server: Server, add: str, body: object, named: str) -> None:
    reply = server.api.call(add, body)
    assert reply.status in (400, 422), reply.body
    answer = reply.json()
    assert answer["code"] == "FN_012"
    assert f"`{named}`" in answer["detail"] or f"'{named}'" in answer["detail"], answer["detail"]


def test_an_exception_is_the_functions_own(server: Server, tmp_path: Path, name: str) -> None:
    code = "def inner():\n    raise ValueError('broken pipe dream')\n\ndef handler(event):\n    inner()\n"
    server.deploy(write_function(tmp_path, name, code, scaling={"max": 1}))
    reply = server.api.call(name)
    assert reply.status == 502
    assert reply.headers["x-error-source"] == "function"
    failure = reply.json()
    assert (failure["type"], failure["message"]) == ("ValueError", "broken pipe dream")
    assert (failure["file"], failure["line"]) == ("main.py", 2)
    assert not [frame for frame in failure["stack"] if "faas_shim" in frame]
    run = server.api.finished(reply.headers["x-run-id"])
    assert (run["state"], run["error"]["code"], run["error"]["type"]) == ("failed", "FN_004", "ValueError")
    assert (run["error"]["file"], run["error"]["line"]) == ("main.py", 2)
    assert server.api.call(name).headers["x-cold-start"] == "false", "an exception costs no instance"


def test_a_value_that_cannot_be_sent(server: Server, tmp_path: Path, name: str) -> None:
    code = "def handler(event):\n    loop = []\n    loop.append(loop)\n    return object() if event else loop\n"
    server.deploy(write_function(tmp_path, name, code, scaling={"max": 1}))
    for body in ({"a": 1}, {}):
        reply = server.api.call(name, body)
        assert reply.status == 502, reply.body
        assert reply.json()["code"] == "FN_004"
        assert reply.json()["type"]
    assert server.api.call(name).headers["x-cold-start"] == "false"


def test_a_timeout_and_a_stubborn_handler(server: Server, tmp_path: Path, name: str) -> None:
    code = """
import os, signal, time

def handler(event):
    if not event:
        return "quick"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
    time.sleep(600)
"""
    server.deploy(write_function(tmp_path, name, code, timeout="1s"))
    reply = server.api.call(name, {"slow": True}, timeout=30)
    problem(reply, 504, "FN_002")
    assert float(reply.headers["x-duration-ms"]) < 4000
    assert server.api.call(name).expect(200).headers["x-cold-start"] == "true", "an instance lived on after a timeout"
    server.cli("invoke", name, "-d", '{"slow": true}').exits(8)


def test_a_crash_is_told_apart(server: Server, tmp_path: Path, name: str) -> None:
    code = "import os\n\ndef handler(event):\n    os._exit(3) if event else None\n    return 'fine'\n"
    server.deploy(write_function(tmp_path, name, code))
    reply = server.api.call(name, {"crash": True})
    assert (reply.status, reply.json()["code"]) == (502, "FN_004")
    server.api.call(name).expect(200)


def test_exiting_and_interrupting_are_answered(server: Server, tmp_path: Path, name: str) -> None:
    code = """
import sys

def handler(event):
    if event == "exit":
        sys.exit(3)
    if event == "interrupt":
        raise KeyboardInterrupt
    return "fine"
"""
    server.deploy(write_function(tmp_path, name, code))
    for body in ("exit", "interrupt"):
        reply = server.api.call(name, body)
        assert (reply.status, reply.json()["code"]) == (502, "FN_004")
    server.api.call(name).expect(200)


def test_broken_http_is_answered_or_cut(server: Server, add: str) -> None:
    broken = [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /fn/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /fn/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /fn/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"\0" * 4096,
    ]
    for raw in broken:
        with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
            try:
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(64)
            except OSError:  # cut before everything was sent
                continue
            assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 5", b"HTTP/1.1 3")), raw[
                :40
            ]
            assert not answer.startswith(b"HTTP/1.1 500"), raw[:40]
    server.api.call(add, {"x": 1, "y": 2}).expect(200)


def test_a_caller_who_leaves(server: Server, tmp_path: Path, name: str) -> None:
    """Calls whose callers hang up do not hold the function for ever."""
    code = "import time\n\ndef handler(event):\n    time.sleep(event.get('s', 0))\n    return 'done'\n"
    server.deploy(write_function(tmp_path, name, code, timeout="30s", scaling={"min": 0, "max": 1}))
    server.api.call(name).expect(200)
    for _ in range(3):
        connection = server.http.connect()
        headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
        connection.request("POST", f"/fn/{name}/", b'{"s": 25}', headers)
        connection.close()
    assert server.api.call(name, timeout=20).expect(200).body == b"done"


def test_unusual_but_right_calls(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, ECHO))
    assert server.http.request("POST", f"/fn/{name}").expect(200).json()["event"] == {}
    text = server.http.request("POST", f"/fn/{name}/", "plain", headers={"Content-Type": "text/plain"}).expect(200)
    assert text.json()["event"] == "plain"
    assert server.http.request("PUT", f"/fn/{name}/x", b"1").expect(200).json()["method"] == "PUT"
    server.http.request("HEAD", f"/fn/{name}/").expect(200)


def _post_raw(server: Server, path: str, body):
    """Sends a body, which may be refused before it has been sent whole."""
    connection = server.http.connect()
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", path, body, headers, encode_chunked=not isinstance(body, bytes))
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    except http.client.HTTPException as error:
        raise AssertionError(f"no answer to {path}: {error!r}") from error
    finally:
        connection.close()
