"""An idempotency key belongs to who used it: nobody gets an answer that was meant for another."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Reply, Server, write_function

# A function that checks its callers itself, as public ones do.
CODE = """
def handler(event, context):
    headers = context.request.headers
    return {"secret of": headers.get("authorization") or headers.get("cookie") or "nobody"}
"""


def _call(server: Server, name: str, proof: dict[str, str], path: str = "fn") -> Reply:
    headers = {"Idempotency-Key": "the same"} | proof
    return server.http.post(f"/{path}/{name}/", {"x": 1}, headers=headers, key=None).expect(
        200 if path == "fn" else 202
    )


@pytest.mark.parametrize("header", ["Authorization", "Cookie"])
def test_another_caller_never_gets_a_kept_answer(server: Server, tmp_path: Path, name: str, header: str) -> None:
    server.deploy(write_function(tmp_path, name, CODE, auth="public"))
    first, again = (_call(server, name, {header: "alice"}) for _ in range(2))
    assert first.json() == again.json() == {"secret of": "alice"}
    assert again.headers["x-run-id"] == first.headers["x-run-id"], "the key was not honoured at all"
    assert _call(server, name, {header: "mallory"}).json() == {"secret of": "mallory"}
    assert _call(server, name, {}).json() == {"secret of": "nobody"}


def test_nobody_can_use_up_anothers_key(server: Server, tmp_path: Path, name: str) -> None:
    """Accepted for later: each caller's request becomes a run of its own, and repeats stay one."""
    server.deploy(write_function(tmp_path, name, CODE, auth="public"))
    runs = {
        who: [_call(server, name, {"Authorization": who}, "async").json()["run_id"] for _ in range(2)]
        for who in ("alice", "mallory")
    }
    assert all(len(set(ids)) == 1 for ids in runs.values())
    assert runs["alice"][0] != runs["mallory"][0]
