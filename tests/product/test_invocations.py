"""Calls as documents, and background calls that are waited for."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from harness import Server, until, write_function

ECHO = """
def handler(request):
    if request.path == "/raise":
        raise ValueError("what was asked for")
    if request.path == "/bytes":
        return b"\\xff\\x00"
    return {"method": request.method, "path": request.path, "query": request.query, "body": request.body.decode(),
            "kind": request.headers.get("content-type"), "tenant": request.headers.get("x-tenant")}
"""


@pytest.fixture
def echo(server: Server, tmp_path: Path, name: str) -> str:
    server.deploy(write_function(tmp_path, name, ECHO))
    return name


def invoke(server: Server, name: str, status: int = 200, **body: Any) -> dict[str, Any]:
    return server.http.post(f"/api/v1/functions/{name}/invocations", body).expect(status).json()


def test_a_call_has_method_path_query_and_headers(server: Server, echo: str) -> None:
    headers = [{"name": "X-Tenant", "value": "acme"}, {"name": "content-type", "value": "text/plain"}]
    got = invoke(server, echo, method="PUT", path="/items/1", query="a=1", headers=headers, body_text="hi")
    assert (got["status"], got["error"], got["version"]) == (200, None, 1), got
    assert got["run_id"].startswith("run_") and got["duration_ms"] > 0 and got["cold_start"] in (True, False)
    seen = got["body"]
    assert (seen["method"], seen["path"], seen["body"]) == ("PUT", "/items/1", "hi"), seen
    assert (seen["tenant"], seen["kind"]) == ("acme", "text/plain"), seen
    assert {"name": "content-type", "value": "application/json"} in got["headers"], got
    assert invoke(server, echo)["body"]["method"] == "POST"
    number = '{"body": {"n": 12345678901234567890123}}'
    path = f"/api/v1/functions/{echo}/invocations"
    reply = server.http.request("POST", path, body=number.encode(), headers={"Content-Type": "application/json"})
    assert "12345678901234567890123" in reply.expect(200).json()["body"]["body"]


def test_bytes_go_both_ways(server: Server, echo: str) -> None:
    got = invoke(server, echo, path="/bytes", body_base64=base64.b64encode(b"\x01").decode())
    assert base64.b64decode(got["body_base64"]) == b"\xff\x00" and got["body"] is None and got["body_text"] is None


def test_the_functions_own_error_is_in_the_record(server: Server, echo: str) -> None:
    got = invoke(server, echo, path="/raise")
    assert got["status"] >= 500 and got["code"] == "FN_004", got
    assert got["error"]["type"] == "ValueError" and got["error"]["message"] == "what was asked for", got
    assert server.http.get(f"/api/v1/runs/{got['run_id']}").expect(200).json()["state"] == "failed"


def test_a_call_for_later_is_a_run(server: Server, echo: str) -> None:
    body = {"path": "/later", "mode": "async"}
    reply = server.http.post(f"/api/v1/functions/{echo}/invocations", body).expect(202)
    run = reply.json()["run_id"]
    assert reply.headers["location"] == f"/api/v1/runs/{run}"
    ended = server.http.get(f"/api/v1/runs/{run}?wait=30s").expect(200).json()
    assert (ended["state"], ended["result"]["path"]) == ("succeeded", "/later"), ended


def test_what_is_no_request_is_refused_by_field(server: Server, echo: str) -> None:
    for body, pointer in [
        ({"method": "GE T"}, "/method"),
        ({"method": "CONNECT"}, "/method"),
        ({"path": "items"}, "/path"),
        ({"path": "/a b"}, "/path"),
        ({"path": "/a?b"}, "/path"),
        ({"headers": [{"name": "a b", "value": ""}]}, "/headers/0"),
        ({"headers": [{"name": "x-run-id", "value": "1"}]}, "/headers/0"),
        ({"headers": [{"name": "a", "value": "1"}, {"name": "b", "value": "\n"}]}, "/headers/1"),
        ({"body_base64": "?"}, "/body_base64"),
        ({"body": 1, "body_text": ""}, "/body"),
        ({"hedaers": []}, "/hedaers"),
    ]:
        problem = server.http.post(f"/api/v1/functions/{echo}/invocations", body).expect(422).json()
        assert problem["errors"][0]["pointer"] == pointer, (body, problem)
    assert invoke(server, "no-such-function", 404)["reason"] == "function_not_found"


def wait(server: Server, name: str, path: str, seconds: int, status: int, **body: Any) -> Any:
    prefer = {"Prefer": f"respond-async, wait={seconds}"}
    return server.http.post(f"/api/v1/functions/{name}/invoke{path}", body, headers=prefer).expect(status)


def test_a_background_call_is_waited_for(server: Server, tmp_path: Path, name: str) -> None:
    code = (
        "import time\ndef handler(x: float):\n    time.sleep(x)\n    if x == 0: raise ValueError('no')\n    return x\n"
    )
    folder = write_function(tmp_path, name, code)
    with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write("\n[background.retry]\nmax_attempts = 1\n")
    server.deploy(folder)
    soon = wait(server, name, "", 30, 200, x=0.01)
    assert soon.json() == {"result": 0.01} and "wait=30" in soon.headers["preference-applied"]
    assert server.http.get(f"/api/v1/runs/{soon.headers['x-run-id']}").expect(200).json()["trigger"] == "api"
    late = wait(server, name, "", 1, 202, x=3)
    run = late.json()["run_id"]
    assert late.headers["location"] == f"/api/v1/runs/{run}"
    until(lambda: server.http.get(f"/api/v1/runs/{run}").json()["state"] == "succeeded", "the run goes on", within=30)
    failed = wait(server, name, "", 30, 502, x=0).json()
    assert failed["function_error"]["message"] == "no" and failed["retry"]["executed"] == "yes", failed
    for wrong in (61, -1):
        assert "wait is a number" in wait(server, name, "", wrong, 400, x=0).json()["detail"]
