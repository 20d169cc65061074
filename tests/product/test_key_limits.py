"""Keys that end by themselves, that are restricted to functions, that are changed; and when they were last used."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from harness import Server, until, write_function

from product.functions import ADD

ALL = ["functions:write", "secrets:write", "invoke", "runs:write"]
# Of the whole project, and harmless for it.
OPEN = {
    ("GET", "/api/v1/whoami"),
    ("GET", "/api/v1/system"),
    ("GET", "/api/v1/status"),
    ("POST", "/api/v1/blobs/check"),
    ("PUT", "/api/v1/blobs/{digest}"),
}
ARGS = {"x": 1, "y": 2}


def create(server: Server, name: str, **more: Any) -> dict[str, Any]:
    return server.http.post("/api/v1/keys", {"name": name, "scopes": ["invoke"]} | more).expect(201).json()


@pytest.fixture
def two(server: Server, tmp_path: Path, name: str) -> tuple[str, str]:
    """Two functions."""
    names = (f"{name}-a", f"{name}-b")
    for one in names:
        server.deploy(write_function(tmp_path, one, ADD))
    return names


def test_a_key_ends_by_itself(server: Server, two: tuple[str, str]) -> None:
    end = datetime.now(UTC) + timedelta(seconds=2)
    made = create(server, two[0], expires_at=end.isoformat())
    assert made["expires_at"].startswith(f"{end:%Y-%m-%dT%H:%M:%S}")
    server.api.call(two[0], ARGS, key=made["key"]).expect(200)
    refused = until(lambda: (r := server.api.call(two[0], ARGS, key=made["key"])).status == 401 and r, "it ends").json()
    assert (refused["code"], refused["reason"]) == ("FN_010", "key_expired"), refused
    assert made["expires_at"] in refused["detail"], refused
    assert f"faas keys update {made['id']} --expires" in refused["cli_hint"], refused
    # Its end can be moved, and then taken away.
    for later in ((datetime.now(UTC) + timedelta(days=90)).isoformat(), None):
        patch = {"expires_at": later}
        changed = server.http.request("PATCH", f"/api/v1/keys/{made['id']}", json_body=patch).expect(200).json()
        assert (changed["expires_at"] is None) == (later is None)
        server.api.call(two[0], ARGS, key=made["key"]).expect(200)


def test_what_cannot_be_is_refused_by_field(server: Server, name: str) -> None:
    for more, pointer, says in [
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at", "in the past"),
        ({"expires_at": "soon"}, "/expires_at", "not a time such as"),
        ({"functions": ["Not A Name"]}, "/functions/0", "not a valid function name"),
        ({"functions": ["a"], "scopes": ["project:admin"]}, "/functions", "cannot be restricted"),
        ({"functions": [f"f{n}" for n in range(101)]}, "/functions", "100 at most"),
        ({"scopes": []}, "/scopes", "at least one"),
        ({"name": ""}, "/name", "1 to 64 characters"),
    ]:
        body = {"name": name, "scopes": ["invoke"]} | more
        problem = server.http.post("/api/v1/keys", body).expect(422).json()
        assert says in problem["detail"] and problem["errors"][0]["pointer"] == pointer, (more, problem)


def test_a_key_says_when_it_was_last_used(server: Server, two: tuple[str, str]) -> None:
    made = create(server, two[0])
    assert made["last_used_at"] is None
    before = datetime.now(UTC) - timedelta(seconds=2)
    server.api.call(two[0], ARGS, key=made["key"]).expect(200)
    used = server.http.get(f"/api/v1/keys/{made['id']}").expect(200).json()["last_used_at"]
    assert before <= datetime.fromisoformat(used) <= datetime.now(UTC) + timedelta(seconds=1)


def test_the_last_use_survives_a_restart() -> None:
    with Server() as server:
        made = create(server, "used")
        server.http.get("/api/v1/whoami", key=made["key"]).expect(200)
        used = server.http.get(f"/api/v1/keys/{made['id']}").expect(200).json()["last_used_at"]
        assert server.stop() == 0
        server.start()
        assert server.http.get(f"/api/v1/keys/{made['id']}").expect(200).json()["last_used_at"] == used


def test_a_key_is_changed_in_its_parts(server: Server, two: tuple[str, str]) -> None:
    made = create(server, two[0], functions=[two[0]])
    path = f"/api/v1/keys/{made['id']}"
    change = {"name": "renamed", "scopes": ["runs:read", "invoke"], "functions": [two[1]]}
    changed = server.http.request("PATCH", path, json_body=change).expect(200).json()
    assert (changed["name"], changed["scopes"], changed["functions"]) == ("renamed", ["invoke", "runs:read"], [two[1]])
    server.api.call(two[0], ARGS, key=made["key"]).expect(403)
    server.api.call(two[1], ARGS, key=made["key"]).expect(200)
    unchanged = server.http.request("PATCH", path, json_body={}).expect(200).json()
    assert {**unchanged, "last_used_at": None} == {**changed, "last_used_at": None}
    freed = server.http.request("PATCH", path, json_body={"functions": None}).expect(200).json()
    assert freed["functions"] == []
    server.api.call(two[0], ARGS, key=made["key"]).expect(200)
    server.http.request("PATCH", path, json_body={"scopes": []}).expect(422)
    server.api.revoke_key(made["id"])
    server.http.request("PATCH", path, json_body={"name": "x"}).expect(404)


def test_nobody_changes_the_key_of_who_may_more(server: Server, name: str) -> None:
    project = server.api.create_key(name, ["project:admin"])["key"]
    above = server.api.create_key(f"{name}-above", ["admin"])["id"]
    server.http.request("PATCH", f"/api/v1/keys/{above}", json_body={"name": "mine"}, key=project).expect(403)
    server.http.request("DELETE", f"/api/v1/keys/{above}", key=project).expect(403)
    server.api.revoke_key(above)


def test_a_restricted_key_reaches_its_functions_alone(server: Server, two: tuple[str, str]) -> None:
    mine, others = two
    own_id, other_id = (server.http.get(f"/api/v1/functions/{one}").expect(200).json()["id"] for one in two)
    runs = [server.api.call(one, ARGS).expect(200).headers["x-run-id"] for one in two]
    for named in (mine, own_id):
        key = create(server, mine, scopes=ALL, functions=[named])["key"]
        for path in (f"functions/{mine}", f"functions/{own_id}", f"functions/{mine}/versions", f"runs/{runs[0]}"):
            server.http.get(f"/api/v1/{path}", key=key).expect(200)
        server.api.call(mine, ARGS, key=key).expect(200)
        server.api.invoke(mine, ARGS, key=key).expect(200)
        refused = [f"functions/{others}", f"functions/{other_id}", f"functions/{others}/versions", f"runs/{runs[1]}"]
        refused += [f"runs/{runs[1]}/logs", f"functions/{others[:-1]}%{ord(others[-1]):x}", "functions/no-such"]
        for path in refused:
            problem = server.http.get(f"/api/v1/{path}", key=key).expect(403).json()
            assert problem["reason"] == "function_not_allowed", (path, problem)
        for reply in (
            server.api.call(others, ARGS, key=key),
            server.api.call("no-such-function", ARGS, key=key),
            server.api.invoke(others, ARGS, key=key),
            server.api.invoke(f"{others}:live", ARGS, key=key),
            server.http.post(f"/functions/{others}/invoke", ARGS, key=key),
            server.http.post(f"/api/v1/runs/{runs[1]}/replay", {}, key=key),
            server.http.request("DELETE", f"/api/v1/functions/{others}", key=key),
        ):
            assert reply.expect(403).json()["reason"] == "function_not_allowed", reply.body


def test_no_route_of_the_project_lets_a_restricted_key_in(server: Server, two: tuple[str, str]) -> None:
    """Every route: below another function it is refused, and so is what belongs to no function."""
    key = create(server, two[0], scopes=ALL, functions=[two[0]])["key"]
    checked = 0
    for path, item in server.api.openapi()["paths"].items():
        for method, operation in item.items():
            scopes = [scope for one in operation.get("security", [])[:1] for value in one.values() for scope in value]
            if not operation.get("security") or (method.upper(), path) in OPEN:
                continue
            concrete = re.sub(r"\{\w+\}", two[1], path, count=1) if "/functions/{" in path else path
            concrete = re.sub(r"\{\w+\}", "1", concrete)
            reply = server.http.request(method.upper(), f"{concrete}?sirname=1", key=key)
            where = (method, path, reply.status, reply.body)
            if re.match(r"/api/v1/(runs|dead-letters)/\{", path):
                # No such run: the handler, which wants no such parameter, says so.
                assert reply.status in (400, 404), where
            elif reply.status == 400:
                assert "restricted to functions too" in operation["description"], where
            else:
                reason = reply.expect(403).json()["reason"]
                wanted = "scope_missing" if set(scopes) & {"admin", "project:admin"} else "function_not_allowed"
                assert reason == wanted, where
            checked += 1
    assert checked > 70


def test_a_pipelines_key_ships_its_function_alone(server: Server, tmp_path: Path, name: str) -> None:
    made = ("keys", "create", name, "--preset", "ci", "--function", f"{name}-a", "--expires", "90d", "-o", "json")
    key = server.cli(*made).ok().json()
    assert datetime.fromisoformat(key["expires_at"]) > datetime.now(UTC) + timedelta(days=89)
    cli = server.cli_with(FAAS_ENDPOINT=f"http://127.0.0.1:{server.port}", FAAS_API_KEY=key["key"])
    # The function need not exist yet.
    cli("deploy", write_function(tmp_path, f"{name}-a", ADD)).ok()
    refused = cli("deploy", write_function(tmp_path, f"{name}-b", ADD)).exits(3)
    assert f"restricted to the functions {name}-a" in refused.stderr, refused.stderr
    server.http.get(f"/api/v1/functions/{name}-b").expect(404)


def test_keys_are_changed_by_command(server: Server, name: str) -> None:
    made = server.cli("keys", "create", name, "--scope", "invoke", "-o", "json").ok().json()
    changed = server.cli("keys", "update", name, "--expires", "30d", "--function", "a,b", "-o", "json").ok().json()
    assert changed["functions"] == ["a", "b"] and changed["expires_at"] and changed["scopes"] == ["invoke"]
    freed = server.cli("keys", "update", name, "--expires", "never", "--all-functions", "-o", "json").ok().json()
    assert freed["functions"] == [] and freed["expires_at"] is None
    shown = server.cli("keys", "get", name).ok().stdout
    assert made["id"] in shown and "never" in shown, shown
    server.cli("keys", "update", name).exits(2)
    assert "such as 90d" in server.cli("keys", "update", name, "--expires", "soon").exits(2).stderr
