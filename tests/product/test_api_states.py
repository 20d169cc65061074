"""States of resources: `ETag`, `If-Match`, `If-None-Match`, and bodies that replace or merge."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from harness import Server
from harness.http import Reply

V1 = "/api/v1"
CRON = {"trigger": {"type": "cron", "name": "tick", "schedule": "@daily"}}


def match(server: Server, method: str, path: str, tag: str, body: Any = None) -> Reply:
    """A write for one state."""
    return server.http.request(method, path, json_body=body, headers={"If-Match": tag})


def tag_of(server: Server, path: str) -> str:
    """The present state."""
    return server.http.get(path).expect(200).headers["etag"]


@pytest.fixture
def function(server: Server, name: str) -> str:
    """The path of a function without code."""
    server.http.post(f"{V1}/functions", {"name": name}).expect(201)
    return f"{V1}/functions/{name}"


def test_of_two_writers_with_one_state_exactly_one_succeeds(server: Server, function: str) -> None:
    server.http.post(f"{function}/triggers", CRON).expect(201)
    stage = f"{V1}/vars?stage=staging"
    server.http.request("PATCH", stage, json_body={"vars": {"ROUND": "start"}}).expect(200)
    writes = [
        ("PATCH", function, lambda n: {"description": f"d{n}"}),
        ("PUT", function, lambda n: {"labels": {"n": f"{n}"}}),
        ("PATCH", f"{function}/vars", lambda n: {"vars": {"N": f"{n}"}}),
        ("PATCH", f"{function}/triggers/tick", lambda n: {"settings": {"timezone": ["UTC", "Asia/Tokyo"][n % 2]}}),
        ("PATCH", stage, lambda n: {"vars": {"ROUND": f"{n}"}}),
    ]
    for method, path, body in writes:
        for turn in range(5):
            tag = tag_of(server, path)

            def attempt(number: int, method: str = method, path: str = path, tag: str = tag, body: Any = body) -> Reply:
                return match(server, method, path, tag, body(number))

            with ThreadPoolExecutor(4) as pool:
                replies = list(pool.map(attempt, range(turn * 4, turn * 4 + 4)))
            done = [reply for reply in replies if reply.status == 200]
            assert len(done) == 1, (method, path, [(reply.status, reply.body) for reply in replies])
            for reply in replies:
                if reply.status != 200:
                    assert reply.expect(412).json()["reason"] == "precondition_failed"
            assert done[0].headers["etag"].split("-")[0] == tag_of(server, path).split("-")[0]


def test_what_did_not_change_is_not_sent_again(server: Server, function: str) -> None:
    server.http.post(f"{function}/triggers", CRON).expect(201)
    key = server.api.create_key("states", ["invoke"])
    paths = [
        function,
        f"{function}/vars",
        f"{function}/triggers/tick",
        f"{V1}/vars",
        f"{V1}/keys/{key['id']}",
        *(path for path in server.api.openapi()["paths"] if path.endswith(("/retention", "/upload-policy"))),
    ]
    assert len(paths) >= 7
    for path in paths:
        first = server.http.get(path).expect(200)
        tag = first.headers["etag"]
        again = server.http.get(path, headers={"If-None-Match": f'"other", {tag}'}).expect(304)
        assert (again.body, again.headers["etag"]) == (b"", tag), path
        server.http.get(path, headers={"If-None-Match": '"other"'}).expect(200)
        server.http.get(path, headers={"If-None-Match": "*"}).expect(304)
    server.http.request("PATCH", function, json_body={"description": "new"}).expect(200)
    old = server.http.get(function).headers["etag"]
    server.http.request("PATCH", function, json_body={"description": "newer"}).expect(200)
    server.http.get(function, headers={"If-None-Match": old}).expect(200)


def test_a_state_is_demanded_of_what_exists(server: Server, function: str) -> None:
    match(server, "PATCH", function, "*", {"paused": True}).expect(200)
    match(server, "PATCH", f"{function}-not", "*", {"paused": True}).expect(404)
    for wrong in ("1", '"', "x, y"):
        problem = match(server, "PATCH", function, wrong, {"paused": False}).expect(400).json()
        assert problem["reason"] == "invalid_header", wrong
    weak = f"W/{tag_of(server, function)}"
    match(server, "PATCH", function, weak, {"paused": False}).expect(412)
    assert server.http.get(function).json()["paused"] is True
    old = tag_of(server, function)
    server.http.request("PATCH", function, json_body={"paused": False}).expect(200)
    match(server, "DELETE", function, old).expect(412)
    match(server, "DELETE", function, tag_of(server, function)).expect(204)
    server.http.request("DELETE", function).expect(404)


def test_put_replaces_and_patch_merges(server: Server, function: str) -> None:
    def words(reply: Reply) -> tuple[str | None, dict[str, str], bool]:
        view = reply.expect(200).json()
        return view["description"], view["labels"], view["paused"]

    def patch(body: Any) -> tuple[str | None, dict[str, str], bool]:
        return words(server.http.request("PATCH", function, json_body=body))

    def put(body: Any) -> tuple[str | None, dict[str, str], bool]:
        return words(server.http.request("PUT", function, json_body=body))

    assert put({"description": "a", "labels": {"team": "x", "tier": "1"}}) == ("a", {"team": "x", "tier": "1"}, False)
    assert patch({}) == ("a", {"team": "x", "tier": "1"}, False)
    assert patch({"labels": {"tier": None, "new": "2"}}) == ("a", {"team": "x", "new": "2"}, False)
    assert patch({"paused": True, "description": None}) == (None, {"team": "x", "new": "2"}, True)
    assert patch({"labels": None}) == (None, {}, True)
    assert patch({"paused": None}) == (None, {}, False)
    assert patch({"description": "b", "paused": True}) == ("b", {}, True)
    assert put({}) == (None, {}, False)
    for method in ("PUT", "PATCH"):
        server.http.request(method, function, json_body={"version": 1}).expect(422)
        server.http.request(method, function, json_body={"description": "x" * 1025}).expect(422)
        server.http.request(method, function, json_body={"labels": {"": "x"}}).expect(422)


def test_a_trigger_is_changed_in_parts(server: Server, function: str) -> None:
    server.http.post(f"{function}/triggers", CRON).expect(201)
    tick = f"{function}/triggers/tick"

    def patch(body: Any) -> dict[str, Any]:
        view: dict[str, Any] = server.http.request("PATCH", tick, json_body=body).expect(200).json()
        return view

    before = patch({})
    assert patch({"enabled": False})["enabled"] is False
    changed = patch({"settings": {"timezone": "Asia/Tokyo"}})
    assert (changed["enabled"], "Asia/Tokyo" in str(changed["settings"])) == (False, True)
    back = patch({"settings": {"timezone": None}, "enabled": None})
    assert (back["settings"], back["enabled"], back["id"]) == (before["settings"], True, before["id"])
    refused = [
        ({"settings": {"name": "other"}}, 422, "name and type"),
        ({"settings": {"type": "event"}}, 422, "name and type"),
        ({"settings": {"schedule": "never"}}, 422, "schedule"),
        ({"alias": "nothing"}, 404, "nothing"),
        ({"enabeld": True}, 422, "enabeld"),
    ]
    for body, status, word in refused:
        problem = server.http.request("PATCH", tick, json_body=body).expect(status).json()
        assert word in problem["detail"], (body, problem)
    assert server.http.get(tick).json()["settings"] == before["settings"]


@pytest.mark.parametrize(
    "trigger",
    [
        {"type": "cron", "schedule": "*/5 * * * *", "timezone": "Asia/Tokyo", "overlap": "skip"},
        {"type": "webhook", "scheme": "github"},
        {"type": "event", "types": ["order.*"], "sources": ["shop"]},
        {"type": "queue", "topic": "orders", "batch_size": 5},
    ],
    ids=lambda trigger: trigger["type"],
)
def test_settings_merge_into_what_they_are(server: Server, name: str, trigger: dict[str, Any]) -> None:
    server.http.post(f"{V1}/functions", {"name": name}).expect(201)
    path = f"{V1}/functions/{name}/triggers"
    made = server.http.post(path, {"trigger": {**trigger, "name": "one"}}).expect(201).json()["trigger"]
    same = server.http.request("PATCH", f"{path}/one", json_body={"settings": {}}).expect(200).json()
    assert same["settings"] == made["settings"]


def test_a_retention_goes_back_field_by_field() -> None:
    with Server() as server:
        path = next(path for path in server.api.openapi()["paths"] if path.endswith("/retention"))
        default = server.http.get(path).expect(200).json()

        def patch(body: Any) -> dict[str, Any]:
            view: dict[str, Any] = server.http.request("PATCH", path, json_body=body).expect(200).json()
            return view

        server.http.request("DELETE", path).expect(404)
        assert patch({"logs": "40d", "run_bytes": "1GB"})["logs"] == "40d"
        back = patch({"logs": None})
        assert back["logs"] == default["logs"] and back["run_bytes"] != default["run_bytes"]
        tag = tag_of(server, path)
        match(server, "PATCH", path, tag, {"runs": "20d"}).expect(200)
        match(server, "PATCH", path, tag, {"runs": "21d"}).expect(412)
        server.http.request("DELETE", path).expect(204)
        server.http.request("DELETE", path).expect(404)
        assert server.http.get(path).json() == default
