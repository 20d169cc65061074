"""Streams of the API: one envelope in two forms, ids that resume, a last event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from harness import Server, write_function

SAYS = """
def handler(event):
    for n in range(3):
        print(f"line {n} of {event['n']}")
    return 1
"""

FORMS = ("text/event-stream", "application/x-ndjson")


@pytest.fixture(scope="module")
def said(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A function and a run of it with three lines."""
    shared_server.deploy(write_function(tmp_path_factory.mktemp("says"), "says", SAYS))
    run = shared_server.api.invoke("says", {"n": 1}).expect(200).headers["x-run-id"]
    shared_server.api.log_lines(run, 3)
    return ["says", run]


def raw(server: Server, path: str, accept: str, last: str | None = None) -> Iterator[str]:
    """The lines of an answer from a connection of its own."""
    headers = {"Authorization": f"Bearer {server.key}", "Accept": accept}
    if last is not None:
        headers["Last-Event-ID"] = last
    with closing(server.http.connect(timeout=30)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.getheader("content-type") == accept
        while line := answer.readline():
            yield line.decode().rstrip("\n")


def events(server: Server, path: str, accept: str, last: str | None = None) -> Iterator[dict[str, Any]]:
    """The events of a stream, in either form."""
    frame: dict[str, str] = {}
    for line in raw(server, path, accept, last):
        if accept == FORMS[1]:
            yield json.loads(line)
        elif line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            assert frame == {"id": event["id"], "event": event["type"]}, "the frame says what the event says"
            yield event
        elif line and not line.startswith(":"):
            key, _, value = line.partition(": ")
            frame = frame | {key: value} if key != "retry" else {}


def test_both_forms_have_the_same_events(server: Server, said: list[str]) -> None:
    path = f"/api/v1/runs/{said[1]}/logs"
    frames, lines = (list(events(server, path, accept)) for accept in FORMS)
    assert [event["data"]["message"] for event in frames[:-1]] == [f"line {n} of 1" for n in range(3)]
    assert [event["type"] for event in frames] == ["log"] * 3 + ["end"]
    assert frames[:-1] == lines[:-1] and lines[-1]["type"] == "end"
    for event in frames + lines:
        assert set(event) == {"id", "type", "at", "data"} and event["id"] and event["at"].endswith("Z")
    assert next(raw(server, path, FORMS[0])) == "retry: 2000"
    assert [line["message"] for line in server.http.get(path).expect(200).json()["items"]] == [
        event["data"]["message"] for event in frames[:-1]
    ]


@pytest.mark.parametrize("accept", FORMS)
def test_a_stream_goes_on_after_any_event(server: Server, said: list[str], accept: str) -> None:
    path = f"/api/v1/runs/{said[1]}/logs"
    whole = [event for event in events(server, path, accept) if event["type"] == "log"]
    for at, event in enumerate(whole):
        rest = list(events(server, path, accept, last=event["id"]))
        assert [one for one in rest if one["type"] == "log"] == whole[at + 1 :]
        assert rest[-1]["type"] == "end"
    headers = {"Accept": accept, "Last-Event-ID": "here"}
    refused = server.http.request("GET", path, headers=headers).expect(400).json()
    assert refused["reason"] == "invalid_header" and "Last-Event-ID" in refused["detail"]


def test_the_command_line_prints_the_same_events(server: Server, said: list[str]) -> None:
    path = f"/api/v1/runs/{said[1]}/logs"
    sent = list(events(server, path, FORMS[1]))
    for form in ("json", "ndjson"):
        printed = server.cli("runs", "logs", said[1], "-f", "-o", form, timeout=30).ok().stdout
        shown = [json.loads(line) for line in printed.splitlines()]
        assert shown[:-1] == sent[:-1] and shown[-1]["type"] == "end"
