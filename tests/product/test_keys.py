"""Who may do what."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from harness import Server, until, write_function

from product.functions import ADD


@pytest.fixture
def private(server: Server, tmp_path: Path, name: str) -> str:
    server.deploy(write_function(tmp_path, name, ADD))
    return name


def test_a_private_function_wants_a_key(server: Server, private: str) -> None:
    body = {"x": 1, "y": 2}
    refused = server.api.call(private, body, key=None).expect(401)
    assert refused.json()["code"] == "FN_010"
    assert refused.headers["content-type"].startswith("application/problem+json")
    assert "www-authenticate" in refused.headers
    server.api.call(private, body).expect(200)
    server.http.post(f"/fn/{private}/", body, headers={"X-API-Key": server.key}).expect(200)


def test_a_public_function_wants_none(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, ADD, auth="public"))
    assert server.api.call(name, {"x": 1, "y": 2}, key=None).expect(200).json() == {"result": 3}
    # Only its URL is public: the control plane is not.
    server.api.invoke(name, {"x": 1, "y": 2}, key=None).expect(401)
    server.http.get(f"/api/v1/functions/{name}", key=None).expect(401)


def test_a_stranger_cannot_tell_a_private_function_from_none(server: Server, private: str) -> None:
    paths = [f"/fn/{private}/", "/fn/no-such-function/", f"/fn/{private}:7/", f"/fn/{private}:nope/", "/fn//"]
    for key in (None, "faas_" + "A" * 49):
        told = set()
        for path in paths:
            reply = server.http.post(path, {}, key=key).expect(401)
            kept = {name: text for name, text in reply.json().items() if name != "request_id"}
            told.add((repr(kept), tuple(sorted(set(reply.headers) - {"x-request-id"}))))
        assert len(told) == 1, told
    server.http.post("/fn/no-such-function/", {}).expect(404)


def test_metrics_want_a_key_of_their_own(server: Server, private: str) -> None:
    assert server.http.get("/metrics", key=None).expect(401).json()["code"] == "FN_010"
    collector = server.api.create_key(f"{private}-m", ["metrics:read"])["key"]
    assert b"faas_build_info" in server.http.get("/metrics", key=collector).expect(200).body
    server.http.get("/api/v1/runs", key=collector).expect(403)
    caller = server.api.create_key(f"{private}-i", ["invoke"])["key"]
    server.http.get("/metrics", key=caller).expect(403)


def test_metrics_can_be_opened() -> None:
    with Server(env={"FAAS_METRICS_OPEN": "true"}) as server:
        server.http.get("/metrics", key=None).expect(200)


@pytest.mark.parametrize("key", ["", "x", "faas_", "faas_" + "A" * 49, "Bearer", "é" * 20, "A" * 5000])
def test_a_wrong_key_is_refused_politely(server: Server, private: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}".encode().decode("latin-1")}
    reply = server.http.post(f"/fn/{private}/", {"x": 1, "y": 2}, headers=headers)
    assert reply.status in (400, 401, 431), reply.body
    if reply.status == 401:
        assert reply.json()["code"] == "FN_010"


def test_scopes_bind(server: Server, private: str) -> None:
    invoke_only = server.api.create_key(f"{private}-i", ["invoke"])["key"]
    read_only = server.api.create_key(f"{private}-r", ["functions:read", "runs:read"])["key"]
    assert server.api.invoke(private, {"x": 1, "y": 2}, key=invoke_only).expect(200).json() == {"result": 3}
    denied = server.http.get("/api/v1/functions", key=invoke_only).expect(403)
    assert denied.json()["code"] == "FN_009"
    server.http.get("/api/v1/functions", key=read_only).expect(200)
    server.http.get("/api/v1/runs", key=read_only).expect(200)
    server.api.invoke(private, {"x": 1, "y": 2}, key=read_only).expect(403)
    server.http.request("DELETE", f"/api/v1/functions/{private}", key=read_only).expect(403)
    server.http.post("/api/v1/keys", {"name": "more", "scopes": ["admin"]}, key=invoke_only).expect(403)


def test_a_revoked_key_is_worth_nothing(server: Server, private: str) -> None:
    made = server.api.create_key(f"{private}-k", ["invoke"])
    server.api.invoke(private, {"x": 1, "y": 2}, key=made["key"]).expect(200)
    server.api.revoke_key(made["id"])
    refused = until(
        lambda: (r := server.api.invoke(private, {"x": 1, "y": 2}, key=made["key"])).status == 401 and r,
        "the key is refused",
    )
    assert refused.json()["code"] == "FN_010"
    server.api.call(private, {"x": 1, "y": 2}, key=made["key"]).expect(401)


def test_a_key_is_shown_once(server: Server, name: str) -> None:
    made = server.api.create_key(name, ["invoke"])
    listed = server.http.get("/api/v1/keys").expect(200)
    assert made["key"] not in listed.body.decode()
    assert made["id"] in [key["id"] for key in listed.json()["items"]]


def test_the_key_is_in_no_log_and_no_readable_file(server: Server) -> None:
    secret = server.key
    assert secret not in server.log()
    files = {"admin.key": server.data / "admin.key"}
    files["profile"] = Path(server.env["XDG_CONFIG_HOME"]) / "faas/credentials.toml"
    for name, path in files.items():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, name
    for path in server.data.rglob("*"):
        if (
            path.is_file()
            and path.name != "admin.key"
            and path.stat().st_size < 64 << 20
            and "layers" not in path.parts
        ):
            assert secret.encode() not in path.read_bytes(), f"the key stands in {path.name}"


def test_the_profile_lets_the_command_just_work(server: Server, private: str) -> None:
    cli = server.cli_with()
    listed = cli("fn", "list", "-o", "json").ok().json()
    assert private in [function["name"] for function in listed["items"]]
    # The environment wins over the profile.
    cli("fn", "list", env={"FAAS_API_KEY": "faas_wrong"}).exits(3)
    cli("fn", "list", env={"FAAS_ENDPOINT": "http://127.0.0.1:1"}).exits(9)
