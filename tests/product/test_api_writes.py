"""What holds for every write of the API that its caller names with an `Idempotency-Key`."""

from __future__ import annotations

import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from harness import Server
from harness.http import Reply
from harness.wait import until

MISMATCH, IN_PROGRESS = "idempotency_key_mismatch", "idempotency_in_progress"


def named_writes(server: Server) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of the writes that take an `Idempotency-Key`."""
    found = []
    for path, item in server.api.openapi()["paths"].items():
        for method in ("post", "put", "patch"):
            operation = item.get(method, {})
            if any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", [])):
                found.append((method.upper(), path, operation))
    return found


def concrete(path: str, operation: dict[str, Any]) -> str:
    """The path with something in each of its places."""
    types = {one["name"]: one["schema"].get("type") for one in operation.get("parameters", []) if one["in"] == "path"}
    return re.sub(r"\{(\w+)\}", lambda place: "1" if types[place[1]] == "integer" else "nothing", path)


def send(server: Server, method: str, path: str, body: Any, key: str) -> Reply:
    """One write with this key."""
    return server.http.request(method, path, json_body=body, headers={"Idempotency-Key": key})


def same(first: Reply, again: Reply) -> bool:
    """Whether one answer repeats the other."""
    named = ("content-type", "location")
    return (first.status, first.body, [first.headers.get(name) for name in named]) == (
        again.status,
        again.body,
        [again.headers.get(name) for name in named],
    )


def test_every_write_takes_a_key(server: Server) -> None:
    writes = {
        (method, path)
        for path, item in server.api.openapi()["paths"].items()
        for method in ("post", "put", "patch")
        if method in item
    }
    named = {(method.lower(), path) for method, path, _ in named_writes(server)}
    content_addressed = {("put", "/api/v1/blobs/{digest}")}
    assert writes - named <= content_addressed, "writes without an Idempotency-Key"
    assert len(named) > 30


def test_what_is_refused_is_refused_alike_again(server: Server) -> None:
    checked = 0
    for method, path, operation in named_writes(server):
        if path.endswith(("/invoke", "/invocations")):
            continue
        at, key = concrete(path, operation), secrets.token_hex(8)
        wrong = {"sirname": 1}
        first, again = (send(server, method, at, wrong, key) for _ in range(2))
        if first.status >= 500 or first.status == 429:
            continue
        assert same(first, again), (method, path, first.body, again.body)
        assert again.headers.get("idempotency-replayed") == "true", (method, path)
        assert "idempotency-replayed" not in first.headers, (method, path)
        other = send(server, method, at, {"sirname": 2}, key).expect(422).json()
        assert other["reason"] == MISMATCH, (method, path, other)
        checked += 1
    assert checked > 25


def test_two_keys_in_one_request_are_refused(server: Server) -> None:
    connection = server.http.connect()
    try:
        connection.putrequest("POST", "/api/v1/keys")
        connection.putheader("Authorization", f"Bearer {server.http.key}")
        for value in ("a", "b"):
            connection.putheader("Idempotency-Key", value)
        connection.putheader("Content-Length", "2")
        connection.endheaders(b"{}")
        answer = connection.getresponse()
        text = answer.read().decode()
        assert (answer.status, "more than once" in text) == (400, True), text
    finally:
        connection.close()


def test_an_array_is_no_object(server: Server) -> None:
    problem = server.http.post("/api/v1/keys", ["a", ["invoke"]]).expect(422).json()
    assert [error["rule"] for error in problem["errors"]] == ["type"], problem
    row = {"key": "a", "value": 1}
    problem = (
        server.http.request("PATCH", "/api/v1/vars", json_body={"vars": {"a": "b"}, "rows": [row]}).expect(422).json()
    )
    assert problem["reason"] == "invalid_body", problem


def keys_named(server: Server, name: str) -> int:
    """How many keys have this name."""
    found = server.http.get("/api/v1/keys").expect(200).json()
    rows = found.get("items", found.get("keys", []))
    return sum(row["name"] == name for row in rows)


def test_a_key_is_made_once_and_its_token_shown_once(server: Server, name: str) -> None:
    key, body = secrets.token_hex(8), {"name": name, "scopes": ["invoke"]}
    first = send(server, "POST", "/api/v1/keys", body, key).expect(201)
    again = send(server, "POST", "/api/v1/keys", body, key).expect(201)
    token = first.json().get("token", first.json().get("key"))
    assert token.startswith("faas_") and token.encode() not in again.body
    assert again.headers["idempotency-replayed"] == "true"
    assert first.headers["location"] == again.headers["location"]
    shown, kept = first.json(), again.json()
    assert [field for field in shown if shown[field] != kept[field]] == ["token" if "token" in shown else "key"]
    assert keys_named(server, name) == 1


def test_of_many_at_once_one_is_carried_out(server: Server, name: str) -> None:
    key, body = secrets.token_hex(8), {"name": name, "scopes": ["invoke"]}

    def attempt(_: int) -> Reply:
        return send(server, "POST", "/api/v1/keys", body, key)

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(attempt, range(24)))
    for reply in replies:
        if reply.status == 409:
            assert reply.json()["reason"] == IN_PROGRESS and int(reply.headers["retry-after"]) >= 1
        else:
            reply.expect(201)
    fresh = [reply for reply in replies if reply.status == 201 and "idempotency-replayed" not in reply.headers]
    assert (len(fresh), keys_named(server, name)) == (1, 1)


def test_callers_do_not_share_names(server: Server, name: str) -> None:
    other = server.api.create_key(f"{name}-other", ["admin"])
    token = other.get("token", other.get("key"))
    key, body = secrets.token_hex(8), {"name": name, "scopes": ["invoke"]}
    send(server, "POST", "/api/v1/keys", body, key).expect(201)
    headers = {"Idempotency-Key": key}
    reply = server.http.request("POST", "/api/v1/keys", json_body=body, headers=headers, key=token).expect(201)
    assert "idempotency-replayed" not in reply.headers
    assert keys_named(server, name) == 2


def test_a_caller_that_goes_away_finds_its_write_done(server: Server, name: str) -> None:
    body = f'{{"name": "{name}", "scopes": ["invoke"]}}'
    key = secrets.token_hex(8)
    connection = server.http.connect()
    connection.putrequest("POST", "/api/v1/keys")
    for header, value in {
        "Authorization": f"Bearer {server.http.key}",
        "Idempotency-Key": key,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }.items():
        connection.putheader(header, value)
    connection.endheaders(body.encode())
    connection.close()

    def again() -> Reply | None:
        reply = server.http.request(
            "POST", "/api/v1/keys", body, headers={"Idempotency-Key": key, "Content-Type": "application/json"}
        )
        return None if reply.status == 409 else reply

    until(again, "the write is answered").expect(201)
    assert keys_named(server, name) == 1
