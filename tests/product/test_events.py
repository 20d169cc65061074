"""CloudEvents as their own SDKs write them, in all three modes of HTTP."""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from harness import Server, write_function
from harness.paths import ROOT, TARGET

EVENTS = "/api/v1/events"
# Answers with what it was called with: the attributes as headers, the data as the body.
ECHO = """
def handler(event, context):
    return {"headers": dict(context.request.headers), "data": event}
"""
JS = """
const { HTTP, CloudEvent } = require("cloudevents");
const [id, kind] = process.argv.slice(2);
const data = { n: 7, s: "ünï" };
const event = new CloudEvent({ id, type: kind, source: "/js", subject: "söme thing", data, tenant: "a b" });
const batch = { headers: { "content-type": "application/cloudevents-batch+json" }, body: JSON.stringify([event]) };
console.log(JSON.stringify([HTTP.binary(event), HTTP.structured(event), batch]));
"""


@pytest.fixture
def kind(server: Server, tmp_path: Path, name: str) -> str:
    """A type of event that one function of this test listens to."""
    kind = f"com.example.{uuid.uuid4().hex}"
    server.deploy(write_function(tmp_path, name, ECHO))
    server.cli("triggers", "add", name, "event", "--event-type", f"{kind}*", "-o", "json").ok()
    return kind


def publish(server: Server, headers: dict[str, str], body: bytes | str) -> list[dict[str, Any]]:
    return server.http.request("POST", EVENTS, body, headers=headers).expect(202).json()["runs"]


def seen(server: Server, run: dict[str, Any]) -> dict[str, Any]:
    record = server.api.finished(run["run_id"])
    assert (record["state"], record["trigger"], record["trigger_name"]) == ("succeeded", "event", "event-1")
    return record["result"]


def python_event(kind: str, event_id: str) -> CloudEvent:
    attributes = {"id": event_id, "type": kind, "source": "/python", "subject": "söme thing", "specversion": "1.0"}
    attributes |= {"datacontenttype": "application/json", "tenant": "a b"}
    return CloudEvent(attributes=attributes, data={"n": 7, "s": "ünï"})


def of_python(kind: str, event_id: str) -> list[HTTPMessage]:
    structured = to_structured_event(python_event(kind, event_id))
    batch = b"[" + structured.body + b"]"
    batched = HTTPMessage(headers={"content-type": "application/cloudevents-batch+json"}, body=batch)
    return [to_binary_event(python_event(kind, event_id)), structured, batched]


@pytest.mark.parametrize("mode", [0, 1, 2], ids=["binary", "structured", "batch"])
def test_events_of_the_python_sdk_arrive_intact(server: Server, kind: str, mode: int) -> None:
    event_id = uuid.uuid4().hex
    message = of_python(kind, event_id)[mode]
    [run] = publish(server, dict(message.headers), message.body)
    got = seen(server, run)
    assert got["data"] == {"n": 7, "s": "ünï"}
    wanted = {"ce-id": event_id, "ce-type": kind, "ce-source": "/python", "ce-specversion": "1.0"}
    wanted |= {"ce-subject": "s%C3%B6me%20thing", "ce-tenant": "a%20b", "ce-faasdepth": "1"}
    assert wanted.items() <= got["headers"].items(), got
    assert got["headers"]["content-type"].startswith("application/json")


def javascript_messages(folder: Path, kind: str, event_id: str) -> list[dict[str, Any]]:
    folder.mkdir()
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "cloudevents@10.0.0"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=120)
    (folder / "make.js").write_text(JS, encoding="utf-8")
    done = subprocess.run(
        ["node", "make.js", event_id, kind], cwd=folder, check=True, capture_output=True, text=True, timeout=60
    )
    return json.loads(done.stdout)


@pytest.mark.needs("npm")
def test_events_of_the_javascript_sdk_arrive_intact(server: Server, kind: str, tmp_path: Path) -> None:
    for mode in range(3):
        message = javascript_messages(tmp_path / f"js-{mode}", kind, f"js-{mode}-{uuid.uuid4().hex}")[mode]
        body = message["body"] if isinstance(message["body"], str) else json.dumps(message["body"])
        [run] = publish(server, {k: str(v) for k, v in message["headers"].items()}, body)
        got = seen(server, run)
        assert got["data"] == {"n": 7, "s": "ünï"}, mode
        assert (got["headers"]["ce-type"], got["headers"]["ce-source"]) == (kind, "/js")


@pytest.fixture(scope="session")
def rust_events() -> Path:
    """A program that writes events with the Rust SDK, built once; see its own text."""
    manifest, target = ROOT / "tests/rust_events/Cargo.toml", TARGET / "rust_events"
    build = ["cargo", "build", "--locked", "--quiet", "--manifest-path", str(manifest), "--target-dir", str(target)]
    subprocess.run(build, check=True, timeout=600)
    return target / "debug/rust-events"


@pytest.mark.needs("cargo")
def test_events_of_the_rust_sdk_arrive_intact(server: Server, kind: str, rust_events: Path) -> None:
    for mode in range(3):
        event_id = f"rust-{mode}-{uuid.uuid4().hex}"
        done = subprocess.run([rust_events, event_id, kind], check=True, capture_output=True, text=True, timeout=60)
        message = json.loads(done.stdout)[mode]
        [run] = publish(server, message["headers"], message["body"])
        got = seen(server, run)
        assert got["data"] == {"n": 7, "s": "ünï"}, mode
        wanted = {"ce-id": event_id, "ce-type": kind, "ce-source": "/rust", "ce-specversion": "1.0", "ce-count": "7"}
        wanted |= {"ce-subject": "s%C3%B6me%20thing", "ce-tenant": "a%20b", "content-type": "application/json"}
        assert wanted.items() <= got["headers"].items(), got


def test_the_same_event_makes_one_run(server: Server, kind: str) -> None:
    message = of_python(kind, uuid.uuid4().hex)[1]
    [first] = publish(server, dict(message.headers), message.body)
    [again] = publish(server, dict(message.headers), message.body)
    assert (again["run_id"], first["repeated"], again["repeated"]) == (first["run_id"], False, True)
    other = of_python("com.example.nobody", uuid.uuid4().hex)[1]
    assert all(run["function"] != first["function"] for run in publish(server, dict(other.headers), other.body))


STRUCTURED = {"content-type": "application/cloudevents+json"}
GOOD: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/x", "type": "t"}


@pytest.mark.parametrize(
    ("change", "attribute"),
    [
        ({"id": None}, "id"),
        ({"source": "a b"}, "source"),
        ({"specversion": "2.0"}, "specversion"),
        ({"time": "yesterday"}, "time"),
        ({"type": ""}, "type"),
        ({"BAD": "x"}, "BAD"),
        ({"faasdepth": 17}, "faasdepth"),
        ({"faasdepth": "x"}, "faasdepth"),
    ],
)
def test_what_is_malformed_is_refused_by_name(server: Server, change: dict[str, Any], attribute: str) -> None:
    for mode in ("structured", "batch"):
        event = {key: value for key, value in (GOOD | change).items() if value is not None}
        body = json.dumps(event if mode == "structured" else [GOOD, event])
        headers = STRUCTURED if mode == "structured" else {"content-type": "application/cloudevents-batch+json"}
        problem = server.http.request("POST", EVENTS, body, headers=headers).expect(400).json()
        assert problem["code"] == "FN_012" and f"`{attribute}`" in problem["detail"], problem


def test_events_need_a_key_that_may_invoke(server: Server) -> None:
    body = json.dumps(GOOD)
    server.http.request("POST", EVENTS, body, headers=STRUCTURED, key=None).expect(401)
    reader = server.api.create_key("reads", ["runs:read"])["key"]
    server.http.request("POST", EVENTS, body, headers=STRUCTURED, key=reader).expect(403)
    caller = server.api.create_key("calls", ["invoke"])["key"]
    server.http.request("POST", "/api/v1/events", body, headers=STRUCTURED, key=caller).expect(202)
