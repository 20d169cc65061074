"""How the control plane answers on the wire: compression, ranges, HEAD, limits, the server's release, CONNECT."""

from __future__ import annotations

import gzip
import json
import re
import socket
from pathlib import Path

from harness import Server, write_function

from product.functions import ADD

GZIP = {"Accept-Encoding": "gzip"}


def test_lists_are_compressed_and_what_may_hold_secrets_is_not(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, ADD))
    for number in range(3):
        server.api.invoke(name, {"x": number, "y": "a" * 2_000})
    plain = server.http.get("/metrics").expect(200)
    packed = server.http.get("/metrics", headers=GZIP).expect(200)
    assert packed.headers["content-encoding"] == "gzip" and "accept-encoding" in packed.headers["vary"].lower()
    assert len(packed.body) * 3 < len(plain.body) and b"faas_build_info" in gzip.decompress(packed.body)
    listed = server.http.get("/api/v1/functions?limit=200", headers=GZIP).expect(200)
    assert listed.headers.get("content-encoding") == "gzip", len(listed.body)
    assert json.loads(gzip.decompress(listed.body))
    for path in ("runs", "logs", "vars", "secrets", "keys", "triggers", f"functions/{name}/logs"):
        reply = server.http.get(f"/api/v1/{path}", headers=GZIP).expect(200)
        assert "content-encoding" not in reply.headers, path
    for reply in (
        server.api.invoke(name, {"x": "a" * 5_000, "y": "b"}),
        server.api.call(name, {"x": "a" * 5_000, "y": ""}),
    ):
        assert "content-encoding" not in reply.headers


def test_parts_of_files_can_be_asked_for(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, ADD)
    server.deploy(folder)
    path = f"/api/v1/functions/{name}/versions/1/file?path=main.py"
    code = (folder / "main.py").read_bytes()
    whole = server.http.get(path).expect(200)
    assert whole.body == code and whole.headers["accept-ranges"] == "bytes"
    part = server.http.get(path, headers={"Range": "bytes=4-9"}).expect(206)
    assert part.body == code[4:10] and part.headers["content-range"] == f"bytes 4-9/{len(code)}"
    assert server.http.get(path, headers={"Range": "bytes=-5"}).expect(206).body == code[-5:]
    far = server.http.get(path, headers={"Range": f"bytes={len(code)}-"}).expect(416)
    assert far.headers["content-range"] == f"bytes */{len(code)}"
    same = {"Range": "bytes=0-3", "If-Range": whole.headers["etag"]}
    assert server.http.get(path, headers=same).expect(206).body == code[:4]
    assert server.http.get(path, headers=same | {"If-Range": '"another"'}).expect(200).body == code
    assert server.http.get(path, headers={"If-None-Match": whole.headers["etag"]}).expect(304).body == b""


def test_head_is_there_wherever_get_is(server: Server) -> None:
    checked = 0
    for path, item in server.api.openapi()["paths"].items():
        if "get" not in item or not path.startswith("/api/v1"):
            continue
        concrete = re.sub(r"\{\w+\}", "1", path)
        get, head = (server.http.request(method, concrete) for method in ("GET", "HEAD"))
        assert (head.status, head.body) == (get.status, b""), (path, get.status, head.status)
        checked += 1
    assert checked > 30


def test_every_answer_names_the_release(server: Server) -> None:
    version = server.api.openapi()["info"]["version"]
    for path in ("/api/v1/functions", "/api/v1/functions/nothing", "/healthz", "/nothing", "/openapi.json"):
        assert server.http.get(path).headers["faas-version"] == version, path
    assert server.http.get("/api/v1/functions", key=None).expect(401).headers["faas-version"] == version


def test_a_limit_says_when_there_is_more(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, "def handler(x): return x\n")
    with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write("\n[background]\nbacklog_max = 1\n")
    server.deploy(folder)
    later = {"Prefer": "respond-async", "X-Run-Delay": "1h"}
    replies = [server.http.post(f"/api/v1/functions/{name}/invoke", {}, headers=later) for _ in range(3)]
    refused = [reply for reply in replies if reply.status == 429]
    assert refused, [reply.status for reply in replies]
    for reply in refused:
        seconds, reason = reply.headers["retry-after"], reply.json()["reason"]
        assert reply.headers["ratelimit"] == f'"{reason}";r=0;t={seconds}'


def test_a_tunnel_is_refused(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as stream:
        stream.sendall(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
        answer = stream.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405 "), answer
    assert json.loads(body)["reason"] == "method_not_allowed", answer
