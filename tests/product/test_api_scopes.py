"""Which scopes reach which routes: every route of the published document with a key of every scope."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from harness import Server

# What each scope includes besides itself.
INCLUDES = {
    "functions:read": set[str](),
    "functions:write": {"deploy", "functions:read"},
    "deploy": {"functions:read"},
    "secrets:write": set[str](),
    "invoke": set[str](),
    "runs:read": {"metrics:read"},
    "runs:write": {"runs:read", "metrics:read"},
    "metrics:read": set[str](),
}
SCOPES = ["admin", "project:admin", *INCLUDES]
READS = {"functions:read", "runs:read", "metrics:read"}


@pytest.fixture(scope="module")
def keys(shared_server: Server) -> dict[str, str]:
    """A key of each scope, and of that alone."""
    return {scope: shared_server.api.create_key(f"only {scope}", [scope])["key"] for scope in SCOPES}


def demands(server: Server) -> Iterator[tuple[str, str, str | None]]:
    """Method, path and scope of each route that wants a key."""
    for path, item in server.api.openapi()["paths"].items():
        for method, operation in item.items():
            for requirement in operation.get("security", [])[:1]:
                (scopes,) = requirement.values()
                yield method.upper(), path, scopes[0] if scopes else None


def granted(held: str, wanted: str | None) -> bool:
    if wanted is None or held in (wanted, "admin"):
        return True
    return wanted != "admin" if held == "project:admin" else wanted in INCLUDES[held]


def test_exactly_the_scopes_that_are_granted_pass(shared_server: Server, keys: dict[str, str]) -> None:
    checked = 0
    for method, path, wanted in demands(shared_server):
        concrete = re.sub(r"\{\w+\}", "1", path)
        for held, key in keys.items():
            # A parameter that no route has: who may use the route is told of it, and nothing happens.
            reply = shared_server.http.request(method, f"{concrete}?sirname=1", key=key)
            problem = reply.json() if reply.status >= 400 and method != "HEAD" else {}
            # An answer to HEAD has no body.
            is_denied = reply.status == 403 and (method == "HEAD" or problem.get("reason") == "scope_missing")
            assert is_denied != granted(held, wanted), (method, path, wanted, held, reply.status, problem)
            if is_denied and method != "HEAD":
                assert f"lacks the scope {wanted}; it holds {held}" in problem["detail"], problem
                assert f"faas keys create NAME --scope {wanted}" in problem["cli_hint"], problem
                assert "POST /api/v1/keys" in problem["hint"], problem
            checked += 1
    assert checked > 80 * len(SCOPES)


def test_each_kind_of_route_wants_the_scope_of_its_kind(shared_server: Server) -> None:
    for method, path, wanted in demands(shared_server):
        where = f"{method} {path}: {wanted}"
        if "/keys" in path and "whoami" not in path:
            assert wanted == "project:admin", where
        elif method != "GET":
            assert wanted not in READS, where
            if re.match(r"/api/v1/secrets/", path):
                assert wanted == "secrets:write", where
            if re.match(r"/api/v1/(runs|dead-letters)", path):
                assert wanted == "runs:write", where
            if re.match(r"/api/v1/blobs|.*/(deploy|deployments|deployment-groups|rollback|aliases)\b", path):
                assert wanted == "deploy", where
        else:
            assert wanted in READS | {None}, where


def test_a_key_gives_no_more_than_it_has(shared_server: Server, keys: dict[str, str], name: str) -> None:
    project = keys["project:admin"]
    body = {"name": name, "scopes": ["admin"]}
    refused = shared_server.http.post("/api/v1/keys", body, key=project).expect(403).json()
    assert "no say over the scope admin" in refused["detail"], refused
    made = shared_server.http.post("/api/v1/keys", body | {"scopes": ["project:admin"]}, key=project).expect(201).json()
    shared_server.api.revoke_key(made["id"])


def test_presets_are_of_purposes(shared_server: Server, name: str) -> None:
    def scopes(*words: str) -> list[str]:
        made = shared_server.cli("keys", "create", name, *words, "-o", "json").ok().json()
        shared_server.api.revoke_key(made["id"])
        return sorted(made["scopes"])

    assert scopes("--preset", "ci") == ["deploy"]
    assert scopes("--preset", "app") == ["invoke"]
    assert scopes("--preset", "viewer", "--scope", "invoke") == ["functions:read", "invoke", "runs:read"]
    assert scopes("--scope", "runs:read,deploy") == ["deploy", "runs:read"]
    refused = shared_server.cli("keys", "create", name, "--scope", "deploys").exits(2)
    assert "scopes are admin, project:admin, functions:read" in refused.stderr, refused.stderr
