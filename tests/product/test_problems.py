"""What a failed request says: a reason that programs decide by, every wrong field, and whether to send it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import Reply, Server, write_function

from product.functions import ADD

SLOW = """
import time

def handler(event):
    time.sleep(30)
"""
RAISES = "def handler(event):\n    raise ValueError('broken pipe dream')\n"


def problem(reply: Reply) -> dict[str, Any]:
    """The problem that a reply is."""
    assert reply.headers["content-type"] == "application/problem+json", reply.body
    body = reply.json()
    assert body["status"] == reply.status
    return body


@pytest.fixture
def add(server: Server, tmp_path: Path, name: str) -> str:
    server.deploy(write_function(tmp_path, name, ADD))
    return name


def test_each_failure_has_its_own_reason(server: Server, add: str) -> None:
    run = server.api.invoke(add, {"x": 1, "y": 2}).expect(200).headers["x-run-id"]
    server.api.finished(run)
    nothing = "run_00000000000000000000000000"
    function, api = f"/api/v1/functions/{add}", "/api/v1"
    for method, path, body, status, reason in (
        ("GET", f"{api}/functions/never-was", None, 404, "function_not_found"),
        ("POST", f"{function}-2/invoke", {}, 404, "function_not_found"),
        ("GET", f"{api}/no-such-route", None, 404, "route_not_found"),
        ("DELETE", f"{api}/runs", None, 405, "method_not_allowed"),
        ("GET", f"{api}/runs/{nothing}", None, 404, "run_not_found"),
        ("GET", f"{api}/runs/nonsense", None, 404, "run_not_found"),
        ("GET", f"{api}/dead-letters/{run}", None, 404, "dead_letter_not_found"),
        ("GET", f"{api}/runs/{run}/input", None, 404, "run_input_not_kept"),
        ("GET", f"{function}/versions/9", None, 404, "version_not_found"),
        ("GET", f"{function}/versions/1/file?path=none.py", None, 404, "file_not_found"),
        ("GET", f"{function}/aliases/beta", None, 404, "alias_not_found"),
        ("POST", f"{function}:beta/invoke", {}, 404, "alias_not_found"),
        ("GET", f"{function}/triggers/tick", None, 404, "trigger_not_found"),
        ("POST", "/hooks/whtk_nothing", {}, 404, "webhook_not_found"),
        ("GET", f"{function}/rollout", None, 404, "rollout_not_found"),
        ("GET", f"{api}/topics/never-was", None, 404, "topic_not_found"),
        ("DELETE", f"{api}/keys/key_00000000000000000000000000", None, 404, "key_not_found"),
        ("GET", f"{api}/secrets/NEVER_WAS", None, 404, "secret_not_found"),
        ("GET", f"{api}/layers/never-was", None, 404, "layer_not_found"),
        ("POST", f"{api}/functions", {"name": add}, 409, "name_taken"),
        ("POST", f"{api}/runs/{run}/cancel", None, 409, "run_ended"),
        ("POST", f"{api}/functions", {"name": add, "sirname": 1}, 422, "invalid_body"),
        ("GET", f"{api}/runs?sirname=1", None, 400, "unknown_parameter"),
        ("GET", f"{api}/runs?limit=0", None, 400, "invalid_parameter"),
        ("GET", f"{api}/runs?state=asleep", None, 400, "invalid_parameter"),
        ("GET", f"{api}/runs?cursor=run_1", None, 400, "invalid_cursor"),
        ("GET", "/errors/never_was", None, 404, "error_page_not_found"),
    ):
        found = problem(server.http.request(method, path, json_body=body))
        assert (found["status"], found["reason"]) == (status, reason), (method, path, found)
    for key, reason in ((None, "key_missing"), ("faas_nonsense", "key_invalid")):
        assert problem(server.http.get("/api/v1/runs", key=key).expect(401))["reason"] == reason
    weak = server.api.create_key("weak", ["runs:read"])["key"]
    assert problem(server.http.get("/api/v1/keys", key=weak).expect(403))["reason"] == "scope_missing"
    reply = server.http.request("POST", "/api/v1/functions", "{", headers={"Content-Type": "application/json"})
    assert problem(reply.expect(400))["reason"] == "malformed_json"


def test_an_idempotency_key_of_another_request_is_named(server: Server, add: str) -> None:
    for number, status in ((1, 200), (2, 422)):
        body = {"x": number, "y": 1}
        reply = server.http.request("POST", f"/fn/{add}", json_body=body, headers={"Idempotency-Key": "k-1"})
        reply.expect(status)
    assert problem(reply)["reason"] == "idempotency_key_mismatch"


def test_every_wrong_field_is_listed(server: Server, add: str) -> None:
    manifest = {"name": add, "runtime": "python3.12", "entrypoint": "main:handler"}
    manifest |= {"tiemout": "1s", "scaling": {"max": 0}, "vars": [], "auth": "nobody"}
    body = {"manifest": manifest, "files": []}
    found = problem(server.http.request("POST", f"/api/v1/functions/{add}/deployments", json_body=body).expect(422))
    rules = {error["pointer"]: error["rule"] for error in found["errors"]}
    assert rules == {
        "/manifest/tiemout": "unknown",
        "/manifest/scaling/max": "range",
        "/manifest/vars": "type",
        "/manifest/auth": "one_of",
    }, found
    assert found["reason"] == "invalid_manifest" and "\n" not in found["detail"]
    assert all(error["message"] for error in found["errors"])
    group = {"functions": [{"manifest": manifest, "files": []}]}
    found = problem(server.http.request("POST", "/api/v1/deployment-groups", json_body=group).expect(422))
    assert "/functions/0/manifest/vars" in {error["pointer"] for error in found["errors"]}

    cron = {"trigger": {"type": "cron", "timezone": "Mars", "overlapp": "skip"}}
    found = problem(server.http.request("POST", f"/api/v1/functions/{add}/triggers", json_body=cron).expect(422))
    rules = {error["pointer"]: error["rule"] for error in found["errors"]}
    assert rules["/trigger/schedule"] == "required" and rules["/trigger/overlapp"] == "unknown", found
    assert found["reason"] == "invalid_trigger"

    targets = {"targets": [{"version": 1}, {"version": "two"}]}
    found = problem(server.http.request("PUT", f"/api/v1/functions/{add}/aliases/beta", json_body=targets).expect(422))
    assert [(error["pointer"], error["rule"]) for error in found["errors"]] == [("/targets/1/version", "type")]
    found = problem(server.http.request("POST", "/api/v1/functions", json_body={"name": "No Name"}).expect(422))
    assert [(error["pointer"], error["rule"]) for error in found["errors"]] == [("/name", "invalid")]


def test_whether_to_send_it_again_is_of_the_occurrence(server: Server, tmp_path: Path, name: str) -> None:
    server.http.request("POST", "/api/v1/functions", json_body={"name": name}).expect(201)
    taken = problem(server.http.request("POST", "/api/v1/functions", json_body={"name": name}).expect(409))
    assert taken["retry"] == {"safe": False, "executed": "no"}
    server.deploy(write_function(tmp_path, name, SLOW, timeout="1s"))
    late = problem(server.api.call(name).expect(504))
    assert late["reason"] == "timeout_exceeded"
    assert late["retry"] == {"safe": False, "after_ms": 1000, "executed": "yes"}


def test_a_problem_links_to_pages_of_its_server(server: Server) -> None:
    found = problem(server.http.get("/api/v1/functions/never-was").expect(404))
    for link, title in ((found["type"], "FN_001"), (found["docs_url"], "function_not_found")):
        assert link.startswith(f"http://127.0.0.1:{server.http.port}/"), link
        page = server.http.get("/" + link.split("/", 3)[3], key=None).expect(200)
        assert page.body.decode().startswith(f"# {title}"), page.body
    at_url = problem(server.api.call("never-was"))
    assert at_url["docs_url"] == found["docs_url"]
    reasons = server.http.get("/errors/reasons", key=None).expect(200).body.decode()
    assert "`function_not_found`" in reasons


def test_hints_of_the_api_name_no_command(server: Server) -> None:
    found = problem(server.http.get("/api/v1/functions/never-was").expect(404))
    assert "GET /api/v1/functions" in found["hint"] and "faas " not in found["hint"]
    assert "`faas functions list`" in found["cli_hint"]
    assert "faas functions list" in server.cli("functions", "get", "never-was").exits(4).stderr
    assert "function_not_found" in server.cli("explain", "function_not_found").ok().stdout


def test_the_functions_own_error_has_one_shape(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, RAISES))
    own = {"type": "ValueError", "message": "broken pipe dream", "file": "main.py", "line": 2}
    bare = server.api.call(name).expect(502)
    assert bare.headers["x-error-source"] == "function" and bare.headers["content-type"] == "application/json"
    assert bare.json() | own == bare.json() and bare.json()["stack"]
    whole = server.api.invoke(name).expect(502)
    assert whole.headers["x-error-source"] == "function"
    found = problem(whole)
    assert (found["code"], found["reason"], found["retry"]["executed"]) == ("FN_004", "function_error", "yes")
    assert found["function_error"] | own == found["function_error"] and found["function_error"]["stack"]
    assert found["run_id"] == whole.headers["x-run-id"]
    queued = server.http.request("POST", f"/api/v1/functions/{name}/invoke?mode=async", json_body={})
    run = server.api.finished(queued.expect(202).json()["run_id"])
    attempt = run["attempts"][0]["error"]
    assert attempt | own == attempt and attempt["stack"]
    assert "ValueError: broken pipe dream" in server.cli("invoke", name).exits(1).stderr
