"""One function, three doors, one answer; and what every answer carries."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from harness import MACHINE, Server, until, write_function
from harness.paths import EXAMPLES

from product.functions import ADD, ECHO

CARRIED = ("x-run-id", "x-call-id", "x-duration-ms", "x-cold-start", "x-function-version")


@pytest.fixture
def add(server: Server, tmp_path: Path, name: str) -> str:
    server.deploy(write_function(tmp_path, name, ADD, scaling={"max": 1}))
    return name


def test_the_command_the_invoke_door_and_the_url_agree(server: Server, add: str) -> None:
    body = {"x": 5, "y": 10}
    wanted = {"result": 15}
    assert server.cli("invoke", add, "-d", '{"x": 5, "y": 10}').ok().json() == wanted
    assert server.api.invoke(add, body).expect(200).json() == wanted
    assert server.api.call(add, body).expect(200).json() == wanted
    url = server.cli("fn", "url", add).ok().stdout.strip()
    assert url.endswith((f"/fn/{add}", f"/fn/{add}/"))
    curl = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-H", f"X-API-Key: {server.key}", "-d", '{"x": 5, "y": 10}', url],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert curl.stdout.strip() == '{"result":15}' or curl.stdout.strip() == '{"result": 15}'


def test_the_example_answers_fifteen(server: Server) -> None:
    deployed = server.deploy(EXAMPLES / "hello")
    assert deployed["function"] == "hello"
    assert server.cli("invoke", "hello", "-d", '{"x": 5, "y": 10}').ok().json() == {"result": 15}


def test_the_event_example(server: Server) -> None:
    server.deploy(EXAMPLES / "event")
    reply = server.api.call("event", {"name": "Ada"}).expect(200)
    assert reply.json()["greeting"] == "hello, Ada"
    assert server.api.call("event", {}).expect(200).json()["greeting"] == "hello, world"


def test_every_answer_carries_the_headers(server: Server, add: str) -> None:
    for reply in (server.api.invoke(add, {"x": 1, "y": 2}), server.api.call(add, {"x": 1, "y": 2})):
        reply.expect(200)
        assert [name for name in CARRIED if name not in reply.headers] == []
        assert reply.headers["x-run-id"] == reply.headers["x-call-id"]
        assert reply.headers["x-run-id"].startswith("run_")
        assert float(reply.headers["x-duration-ms"]) >= 0
        assert reply.headers["x-function-version"] == "1"


def test_the_second_call_is_warm(server: Server, add: str) -> None:
    first = server.api.call(add, {"x": 1, "y": 2}).expect(200)
    second = server.api.call(add, {"x": 1, "y": 2}).expect(200)
    assert (first.headers["x-cold-start"], second.headers["x-cold-start"]) == ("true", "false")
    assert first.headers["x-run-id"] != second.headers["x-run-id"]


def test_path_query_and_method_reach_the_handler(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, ECHO))
    got = server.http.get(f"/fn/{name}/a%20b/c?q=1&q=2&r=%C3%A9").expect(200).json()
    assert got["method"] == "GET"
    assert got["path"] in ("/a%20b/c", "/a b/c")
    assert got["query"] == {"q": "2", "r": "é"}
    assert got["event"] == {}


def test_parameters_come_from_the_query_on_get(server: Server, add: str) -> None:
    assert server.http.get(f"/fn/{add}?x=5&y=10").expect(200).json() == {"result": 15}


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("body", ['{"x": 5, "y": 10}', ' {"y": 10,\n"x": 5}\n', "x=5&y=10"])
def test_json_is_json_even_when_it_is_called_a_form(server: Server, add: str, body: str) -> None:
    """What `curl -d` sends without a content type, and a real form."""
    for path in (f"/fn/{add}", f"/api/v1/functions/{add}/invoke"):
        assert server.http.request("POST", path, body, headers=FORM).expect(200).json() == {"result": 15}


def test_an_event_is_json_even_when_it_is_called_a_form(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, ECHO))
    reply = server.http.request("POST", f"/fn/{name}", '{"x": 5}', headers=FORM).expect(200)
    assert reply.json()["event"] == {"x": 5}


def test_the_run_is_recorded_with_all_its_fields(server: Server, add: str) -> None:
    reply = server.api.invoke(add, {"x": 5, "y": 10}).expect(200)
    run = server.api.finished(reply.headers["x-run-id"])
    assert (run["function"], run["version"], run["state"]) == (add, 1, "succeeded")
    assert run["trigger"] in ("http", "api")
    assert run["cold_start"] is True
    assert run["error"] is None
    assert run["result"] == {"result": 15}
    assert run["created_at"] <= run["started_at"] <= run["finished_at"]
    assert run["duration_ms"] > 0
    attempt = run["attempts"][0]
    assert (attempt["number"], attempt["cold_start"], attempt["code"]) == (1, True, None)
    if MACHINE.root and MACHINE.cgroups:
        assert run["isolation"] == 2
        assert attempt["peak_memory_bytes"] > 1 << 20
        assert attempt["cpu_ms"] > 0


def test_runs_can_be_listed_and_filtered(server: Server, add: str) -> None:
    ids = [server.api.invoke(add, {"x": n, "y": 0}).expect(200).headers["x-run-id"] for n in range(5)]
    until(lambda: len(server.api.runs(f"?function={add}")) == 5, "five runs are listed")
    listed = [run["id"] for run in server.api.runs(f"?function={add}")]
    assert listed == ids[::-1], "newest first"
    page = server.http.get(f"/api/v1/runs?function={add}&limit=2").expect(200).json()
    rest = server.http.get(f"/api/v1/runs?function={add}&limit=200&cursor={page['next_cursor']}").expect(200).json()
    assert [run["id"] for run in page["items"] + rest["items"]] == listed
    told = server.cli("runs", "list", "--function", add, "-o", "json").ok().json()
    assert [run["id"] for run in told["items"]] == listed


def test_return_values(server: Server, tmp_path: Path, name: str) -> None:
    code = """
def handler(event, context):
    return {
        "json": [1, {"a": None}],
        "text": "plain text",
        "bytes": b"\\x00\\xff",
        "triple": ({"made": True}, 201, {"X-Own": "yes"}),
        "object": {"status": 202, "headers": {"X-Own": "yes"}, "body": "accepted"},
        "short": {"status": 202, "body": "accepted"},
        "data": {"status": "done", "body": "accepted"},
        "nothing": None,
    }[event["kind"]]
"""
    server.deploy(write_function(tmp_path, name, code))
    kinds = ("json", "text", "bytes", "triple", "object", "short", "data", "nothing")
    replies = {kind: server.api.call(name, {"kind": kind}) for kind in kinds}
    assert replies["json"].expect(200).json() == [1, {"a": None}]
    assert replies["text"].expect(200).body == b"plain text"
    assert replies["text"].headers["content-type"].startswith("text/plain")
    assert replies["bytes"].expect(200).body == b"\x00\xff"
    assert replies["triple"].expect(201).json() == {"made": True}
    assert replies["triple"].headers["x-own"] == "yes"
    assert replies["object"].expect(202).body == b"accepted"
    assert replies["object"].headers["x-own"] == "yes"
    assert replies["data"].expect(200).json() == {"status": "done", "body": "accepted"}
    assert replies["short"].expect(202).body == b"accepted"
    assert replies["nothing"].status in (200, 204)


def test_vars_and_context(server: Server, tmp_path: Path, name: str) -> None:
    code = """
import os

def handler(event, context):
    return {
        "run": context.run_id, "function": context.function, "version": context.version,
        "left": context.get_remaining_time_in_millis(), "var": os.environ["GREETING"],
    }
"""
    folder = write_function(tmp_path, name, code)
    with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write('[vars]\nGREETING = "hi"\n')
    server.deploy(folder)
    reply = server.api.call(name).expect(200)
    answer = reply.json()
    assert answer["run"] == reply.headers["x-run-id"]
    assert (answer["function"], answer["version"], answer["var"]) == (name, 1, "hi")
    assert 0 < answer["left"] <= 30_000
