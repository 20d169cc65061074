"""The edge: what a caller may say, what a function may answer, and what neither may. Most of it over raw sockets."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from harness import Reply, Server, until, write_function

from product.test_webhooks import Door

HEADERS = "def handler(event, context):\n    return dict(context.request.headers)\n"
# Answers with the status and headers that the query asks for.
SAYS = """
import json


def handler(event, context):
    asked = context.request.query
    return {"status": int(asked.get("status", 200)), "headers": json.loads(asked["headers"]), "body": "body"}
"""
APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    path = scope["path"].removeprefix(scope["root_path"])
    headers, chunks, status = [], [b"0123456789"] * 3, 200
    if path == "/who":
        chunks = [repr((scope["client"], scope["scheme"])).encode()]
    elif path == "/length":
        headers = [(b"content-length", b"30")]
    elif path == "/part":
        status, headers = 206, [(b"content-length", b"30"), (b"content-range", b"bytes 0-29/100")]
    elif path == "/short":
        headers = [(b"content-length", b"100")]
    elif path == "/long":
        headers = [(b"content-length", b"15")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
"""
FORGED = {
    "X-Faas-Trigger": "webhook",
    "X-Faas-Trigger-Name": "pushes",
    "X_Faas_Trigger": "webhook",
    "X-Faas-Scheduled-At": "2030-01-01T00:00:00Z",
    "X-Faas-Topic": "orders",
    "X-Forwarded-Prefix": "/evil",
}
FAILS = "SECRET_PLACE = 1\n\n\ndef handler(event, context):\n    raise ValueError('told to nobody')\n"


def raw(server: Server, text: str) -> bytes:
    """Everything that comes back for these bytes, until the server ends the connection."""
    got = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
        connection.sendall(text.encode())
        # What the server has not read when it closes makes a reset, behind the answer.
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1 << 16):
                got += part
    return got


def says(server: Server, name: str, headers: dict[str, Any], status: int = 200) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    query = f"?status={status}&headers={quote(json.dumps(headers))}"
    connection.request("GET", f"/fn/{name}{query}")
    return connection.getresponse()


def page(server: Server, name: str, method: str, origin: str, **sent: str) -> Reply:
    headers = {"Origin": origin} | {key.replace("_", "-"): value for key, value in sent.items()}
    return server.http.request(method, f"/fn/{name}", headers=headers, key=None)


@pytest.fixture
def seen(server: Server, tmp_path: Path, name: str) -> str:
    server.deploy(write_function(tmp_path, name, HEADERS, auth="public"))
    return name


# === requests ===


def test_nobody_outside_says_what_called_a_function(server: Server, seen: str) -> None:
    url = server.http.get(f"/fn/{seen}", headers=FORGED, key=None).expect(200).json()
    api = server.api.invoke(seen, {}, headers=FORGED).expect(200).json()
    accepted = server.http.post(f"/async/{seen}", {}, headers=FORGED, key=None).expect(202).json()
    later = server.api.finished(accepted["run_id"])["result"]
    door = Door(server, seen, respond="answer")
    hook = door.send(door.signed("msg_forged") | FORGED).expect(200).json()
    again = server.http.post(f"/api/v1/runs/{accepted['run_id']}/replay", {}).expect(202).json()
    replayed = server.api.finished(again["run_id"])["result"]
    for got in (url, api, later, replayed):
        # Which attempt it is is the platform's own word.
        told = [key for key in got if key.replace("_", "-").startswith("x-faas") and key != "x-faas-attempt"]
        assert told == []
        assert got.get("x-forwarded-prefix") != "/evil"
    assert (hook["x-faas-trigger"], hook["x-faas-trigger-name"]) == ("webhook", "door")
    assert "x-faas-topic" not in hook and "x_faas_trigger" not in hook


def test_no_key_of_ours_reaches_a_function(server: Server, seen: str) -> None:
    revoked = "faas_" + "A" * 49
    basic = base64.b64encode(f"git:{revoked}".encode()).decode()
    sent = [
        {"Authorization": f"Bearer {revoked}"},
        {"X-API-Key": revoked},
        {"Authorization": f"Bearer {server.key}", "X-API-Key": revoked},
        {"Authorization": f"Basic {basic}"},
        {"X-Other": revoked},
        {"Authorization": f'Digest username="{revoked}"'},
        {"Cookie": f"a=b; k={revoked}"},
    ]
    for headers in sent:
        for path in (f"/fn/{seen}", f"/async/{seen}"):
            reply = server.http.request("POST", path, headers=headers, key=None)
            got = reply.json() if reply.status == 200 else server.api.finished(reply.json()["run_id"])["result"]
            assert "faas_" not in json.dumps(got) and basic not in json.dumps(got), headers
    assert (
        server.http.get(f"/fn/{seen}", headers={"Authorization": "Bearer eyJ"}).json()["authorization"] == "Bearer eyJ"
    )


def test_a_key_in_a_url_is_refused_and_kept_nowhere(server: Server, seen: str) -> None:
    key = server.api.create_key(f"{seen[:40]}-url", ["invoke"])["key"]
    runs = len(server.api.runs(f"?function={seen}"))
    for path in (f"/fn/{seen}", f"/async/{seen}", f"/fn/{seen}/{key}", "/api/v1/functions", "/nowhere"):
        reply = server.http.get(f"{path}?a=b&key={key}", key=None).expect(400)
        assert reply.json()["code"] == "FN_012" and "Authorization: Bearer KEY" in reply.json()["hint"]
        assert key not in reply.body.decode() + str(reply.headers)
    for written in ("%66" + key[1:], key.replace("_", "%5F"), key.replace("_", "%255F")):
        server.http.get(f"/fn/{seen}?key={written}", key=None).expect(400)
        assert written not in server.log()
    assert server.http.get(f"/fn/{seen}?key=faas_short&k=faas", key=None).status == 200, "a word that begins like one"
    assert len(server.api.runs(f"?function={seen}")) == runs + 1
    assert key not in server.log()


def test_a_request_has_one_host_one_length_and_lines_that_end(server: Server) -> None:
    body = "Content-Length: 2\r\n\r\n{}"
    bad = {
        "no host": "GET /healthz HTTP/1.1\r\n\r\n",
        "two hosts": "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "hosts in a list": "GET /healthz HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "bare line feed": "GET /healthz HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n",
        "bare end of head": "GET /healthz HTTP/1.1\r\nHost: a\r\n\n",
        "bare request line": "GET /healthz HTTP/1.1\nHost: a\r\n\r\n",
        "two lengths": "POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + body,
    }
    for what, request in bad.items():
        assert raw(server, request).startswith(b"HTTP/1.1 400"), what
    coded = "POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
    answer = raw(server, coded + "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 501") and answer.count(b"HTTP/1.1") == 1, "the connection is not used again"
    good = "GET http://a/healthz HTTP/1.1\r\nHost: a\r\n"
    assert raw(server, f"{good}\r\n{good}Connection: close\r\n\r\n").count(b"HTTP/1.1 200") == 2


def test_a_websocket_is_refused_in_words(server: Server, seen: str) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    reply = server.http.get(f"/fn/{seen}", headers=upgrade).expect(501)
    assert reply.headers["content-type"] == "application/problem+json"
    assert "WebSocket" in reply.json()["detail"] and reply.json()["code"] == "FN_021"


def test_cookies_of_http2_come_as_one(server: Server, seen: str) -> None:
    command = ["curl", "-sS", "--noproxy", "*", "--http2-prior-knowledge", "-H", "cookie: a=1", "-H", "cookie: b=2"]
    got = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}/fn/{seen}"], capture_output=True, timeout=60, check=True
    )
    assert json.loads(got.stdout)["cookie"] == "a=1; b=2"


# === who asks ===


def test_the_callers_address_is_not_the_callers_word(server: Server, seen: str, tmp_path: Path, name: str) -> None:
    lies = {
        "X-Forwarded-For": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "X-Forwarded-Proto": "https, http",
    }
    got = server.http.get(f"/fn/{seen}", headers=lies).expect(200).json()
    assert "6.6.6.6" not in json.dumps(got)
    assert (got["x-forwarded-for"], got["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert got["x-forwarded-host"] == f"127.0.0.1:{server.port}"
    assert got["forwarded"].startswith("for=127.0.0.1;")
    app = write_function(tmp_path, f"{name}-app", APP, auth="public", entrypoint="main:app")
    server.deploy(app)
    assert server.http.get(f"/fn/{name}-app/who", headers=lies).body == b"(('127.0.0.1', 0), 'http')"


def test_a_proxy_that_the_operator_names_is_believed(tmp_path: Path, name: str) -> None:
    with Server(env={"FAAS_SERVER_TRUSTED_PROXIES": "127.0.0.0/8, 10.0.0.0/8"}) as server:
        server.deploy(write_function(tmp_path, name, HEADERS, auth="public"))
        told = {
            "X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.1.2.3",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "a.example",
        }
        got = server.http.get(f"/fn/{name}", headers=told, key=None).expect(200).json()
        assert got["x-forwarded-for"] == "203.0.113.9, 10.1.2.3, 127.0.0.1"
        assert (got["x-forwarded-proto"], got["x-forwarded-host"]) == ("https", "a.example")
        server.deploy(write_function(tmp_path, f"{name}-app", APP, auth="public", entrypoint="main:app"))
        who = server.http.get(f"/fn/{name}-app/who", headers=told, key=None).expect(200)
        assert who.body == b"(('203.0.113.9', 0), 'https')"


# === replies ===


def test_a_function_does_not_speak_for_the_platform(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, SAYS, auth="public"))
    reserved = [
        "Connection", "Keep-Alive", "Proxy-Authenticate", "TE", "Trailer", "Upgrade", "Date", "Cache-Status", "Alt-Svc",
        "Service-Worker-Allowed", "Clear-Site-Data", "X-Run-Id", "X-Request-Id", "X-Error-Source", "X-Function-Version",
        "Speculation-Rules", "NEL", "Report-To", "Set-Login", "Origin-Agent-Cluster", "Shared-Storage-Write",
        "Attribution-Reporting-Register-Source", "X-Permitted-Cross-Domain-Policies",
        "X-Faas-Trigger", "X-Accel-Redirect", "Strict-Transport-Security", "Idempotency-Replayed", "X-Hop",
    ]  # fmt: skip
    answer = says(server, name, dict.fromkeys(reserved, "mine") | {"Connection": "mine, X-Hop", "X-Own": "mine"})
    got = [key.lower() for key, value in answer.getheaders() if "mine" in value]
    assert got == ["x-own"] and answer.status == 200
    assert len(answer.headers.get_all("date")) == 1


@pytest.mark.parametrize("headers", [{f"x-{n}": "1" for n in range(5000)}, {"x-big": "y" * 900_000}])
def test_a_head_has_bounds(server: Server, tmp_path: Path, name: str, headers: dict[str, str]) -> None:
    code = f"def handler(event, context):\n    return {{'status': 200, 'headers': {headers!r}, 'body': ''}}\n"
    server.deploy(write_function(tmp_path, name, code))
    reply = server.api.call(name).expect(502)
    assert reply.json()["code"] == "FN_004" and len(reply.headers) < 40


def test_lengths_are_told_and_kept(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, APP, auth="public", entrypoint="main:app"))
    whole = server.http.get(f"/fn/{name}/length").expect(200)
    assert (whole.headers["content-length"], len(whole.body)) == ("30", 30)
    assert "transfer-encoding" not in whole.headers
    part = server.http.get(f"/fn/{name}/part").expect(206)
    assert (part.headers["content-length"], part.headers["content-range"]) == ("30", "bytes 0-29/100")
    head = server.http.request("HEAD", f"/fn/{name}/length").expect(200)
    assert (head.headers["content-length"], head.body) == ("30", b"")
    for path, most in (("short", 30), ("long", 15)):
        answer = raw(server, f"GET /fn/{name}/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        body = answer.partition(b"\r\n\r\n")[2]
        assert b"content-length: " in answer.lower() and len(body) <= most, "it ends as if it were whole"
        [run_id] = re.findall(rb"x-run-id: (\S+)", answer)
        run = server.api.finished(run_id.decode())
        assert (run["state"], run["error"]["code"]) == ("failed", "FN_004"), path
        assert "that its `Content-Length` announced" in run["error"]["message"], run["error"]
    # The instance is well, and so is the next connection.
    assert server.http.get(f"/fn/{name}/length").expect(200).body == b"0123456789" * 3


@pytest.mark.parametrize("status", [204, 205, 304])
def test_some_statuses_have_no_body(server: Server, tmp_path: Path, name: str, status: int) -> None:
    server.deploy(write_function(tmp_path, name, SAYS, auth="public"))
    answer = says(server, name, {"content-length": "4"}, status)
    assert (answer.status, answer.read(), answer.getheader("content-length") or "0") == (status, b"", "0")


def test_why_a_function_failed_is_for_those_who_may_read_its_runs(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, FAILS, auth="public"))
    invoker = server.api.create_key(f"{name}-invoker", ["invoke"])["key"]
    for key in (None, invoker):
        reply = server.http.get(f"/fn/{name}", key=key).expect(502)
        told = reply.json()
        assert (told["code"], told["run_id"]) == ("FN_004", reply.headers["x-run-id"])
        assert reply.headers["x-error-source"] == "function"
        assert "told to nobody" not in reply.body.decode() and "main.py" not in reply.body.decode()
    assert server.http.get(f"/fn/{name}").expect(502).json()["message"] == "told to nobody"
    problem = server.http.request("POST", f"/api/v1/functions/{name}/invoke", key=invoker).expect(502).json()
    assert problem["function_error"]["stack"] == [] and "told to nobody" not in str(problem), problem
    door = Door(server, name, respond="answer")
    assert b"told to nobody" not in door.send(door.signed("msg_fails")).expect(502).body
    server.deploy(write_function(tmp_path, name, FAILS, auth="public", errors="full"))
    assert server.http.get(f"/fn/{name}", key=None).expect(502).json()["message"] == "told to nobody"


# === keys of callers ===


def test_an_idempotency_key_belongs_to_an_alias(server: Server, tmp_path: Path, name: str) -> None:
    code = "def handler(event, context):\n    return 'version {}'\n"
    server.deploy(write_function(tmp_path, name, code.format(1), auth="public"))
    server.cli("alias", "set", name, "old", "1").ok()
    server.deploy(write_function(tmp_path, name, code.format(2), auth="public"))
    key = {"Idempotency-Key": "k1"}
    answers = [server.http.post(f"/fn/{name}{at}", {}, headers=key).expect(200) for at in (":old", "", ":1", ":old")]
    assert [answer.body for answer in answers] == [b"version 1", b"version 2", b"version 1", b"version 1"]
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, None, None, "true"]
    other = server.http.post(f"/fn/{name}", {"other": 1}, headers=key).expect(422).json()
    assert (other["code"], other["title"]) == ("FN_030", "idempotency key reused")


def test_what_is_kept_for_a_key_is_no_failure_and_no_cookie(server: Server, tmp_path: Path, name: str) -> None:
    code = """
runs = 0


def handler(event, context):
    global runs
    runs += 1
    status = 429 if runs == 1 else 200
    return {"status": status, "headers": {"set-cookie": "sid=1", "x-own": "yes"}, "body": str(runs)}
"""
    server.deploy(write_function(tmp_path, name, code, auth="public", scaling={"max": 1}))

    def ask(**sent: str) -> Reply:
        return server.http.post(f"/fn/{name}", {}, headers={"Idempotency-Key": "k"} | sent, key=None)

    assert [ask().status, ask().status] == [429, 200]
    again = ask().expect(200)
    assert again.headers["idempotency-replayed"] == "true" and again.headers["x-own"] == "yes"
    assert "set-cookie" not in again.headers
    assert ask(Cookie="a=b").expect(200).headers["set-cookie"] == "sid=1"
    assert ask(Cookie="a=b").headers["set-cookie"] == "sid=1", "the same caller, by its own proof"


# === pages of other origins ===


def test_pages_that_the_manifest_names_may_call(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, "def handler(event, context):\n    return 'ok'\n")
    manifest = folder / "faas.toml"
    table = (
        '[cors]\norigins = ["https://app.example"]\nheaders = ["authorization"]\n'
        'expose_headers = ["X-Total"]\ncredentials = true\nmax_age = "1h"\n'
    )
    manifest.write_text(manifest.read_text(encoding="utf-8") + table, encoding="utf-8")
    server.deploy(folder)
    asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization, x-other"}
    may = page(server, name, "OPTIONS", "https://app.example", **asks).expect(204).headers
    assert may["access-control-allow-origin"] == "https://app.example"
    assert (may["access-control-allow-methods"], may["access-control-allow-headers"]) == ("POST", "authorization")
    assert (may["access-control-max-age"], may["access-control-allow-credentials"]) == ("3600", "true")
    assert "access-control-allow-origin" not in page(server, name, "OPTIONS", "https://evil.example", **asks).headers
    called = server.http.get(f"/fn/{name}", headers={"Origin": "https://app.example"}).expect(200).headers
    assert called["access-control-allow-origin"] == "https://app.example" and "Origin" in called["vary"]
    exposed = called["access-control-expose-headers"].split(", ")
    assert "x-total" in exposed and "x-run-id" in exposed
    refused = page(server, name, "GET", "https://app.example").expect(401).headers
    assert refused["access-control-allow-origin"] == "https://app.example", "so that the page sees why"
    assert "Origin" in server.http.get(f"/fn/{name}").expect(200).headers["vary"]


# === documents ===


def test_the_front_page_leads_on(server: Server) -> None:
    front = server.http.get("/", key=None).expect(200)
    assert front.headers["content-type"].startswith("text/html") and b"/docs" in front.body
    docs = server.http.get("/docs", key=None).expect(200).body
    assert b"/docs/guides/python.md" in docs
    assert server.http.get("/docs/guides/python.md", key=None).expect(200).body.startswith(b"# ")


def test_the_document_is_made_once_and_compressed_where_asked(server: Server) -> None:
    plain = server.http.get("/openapi.json", key=None).expect(200)
    zipped = server.http.get("/openapi.json", key=None, headers={"Accept-Encoding": "gzip"}).expect(200)
    assert zipped.headers["content-encoding"] == "gzip" and len(zipped.body) * 4 < len(plain.body)
    assert gzip.decompress(zipped.body) == plain.body
    known = {"If-None-Match": plain.headers["etag"]}
    assert server.http.get("/openapi.json", key=None, headers=known).expect(304).body == b""
    before = cpu_ms(server)
    for _ in range(100):
        server.http.get("/openapi.json", key=None, headers=known).expect(304)
    assert cpu_ms(server) - before < 500, "it is made anew each time"


def cpu_ms(server: Server) -> int:
    fields = Path(f"/proc/{server.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 10


# === answers that nobody reads ===


class Unread:
    """An HTTP/2 client that asks, answers pings, and takes no byte of any body."""

    def __init__(self, server: Server, path: str, count: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=15)
        settings = b"\x00\x04" + (0).to_bytes(4, "big")
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(4, 0, 0, settings))
        block = b"\x82\x86" + self.literal(b":path", path.encode()) + self.literal(b":authority", b"a")
        for number in range(count):
            self.socket.sendall(self.frame(1, 5, 2 * number + 1, block))

    @staticmethod
    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    @staticmethod
    def literal(name: bytes, value: bytes) -> bytes:
        return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value

    def frames(self, within: float) -> Iterator[tuple[int, int]]:
        """What the server sends, until it ends the connection or for so long."""
        self.socket.settimeout(within)
        pending = b""
        while True:
            while len(pending) >= 9 and len(pending) >= 9 + int.from_bytes(pending[:3], "big"):
                size = int.from_bytes(pending[:3], "big")
                yield pending[3], int.from_bytes(pending[5:9], "big")
                pending = pending[9 + size :]
            try:
                part = self.socket.recv(1 << 16)
            except ConnectionError:
                return
            if not part:
                return
            pending += part

    def close(self) -> None:
        self.socket.close()


def test_an_http2_answer_that_is_not_read_ends_its_connection(tmp_path: Path, name: str) -> None:
    with Server(env={"FAAS_SEND_TIMEOUT": "2s", "FAAS_METRICS_OPEN": "1"}) as server:
        server.deploy(write_function(tmp_path, name, "def handler(event):\n    return bytes(900_000)\n", auth="public"))
        server.http.get(f"/fn/{name}", key=None).expect(200)
        client = Unread(server, f"/fn/{name}", 20)
        try:
            heads = [stream for kind, stream in client.frames(20) if kind == 1]
        finally:
            client.close()
        assert heads, "no answer began"
        text = server.http.get("/metrics").expect(200).body.decode()
        ended = next(line for line in text.splitlines() if 'closed_total{reason="slow_reader"' in line)
        assert float(ended.rpartition(" ")[2]) >= 1
        until(lambda: server.http.get(f"/fn/{name}", key=None).status == 200, "others are answered")


def test_http2_connections_have_no_more_streams_than_usual(server: Server) -> None:
    client = Unread(server, "/healthz", 0)
    try:
        first = client.socket.recv(1 << 16)
    finally:
        client.close()
    size = int.from_bytes(first[:3], "big")
    settings = {
        first[at + 1] + (first[at] << 8): int.from_bytes(first[at + 2 : at + 6], "big") for at in range(9, 9 + size, 6)
    }
    assert settings[3] == 100
