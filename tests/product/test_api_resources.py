"""The API's resources: how paths name them, which routes have a second name, and which names are retired."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server, write_function

V1 = "/api/v1"
# The routes that a specification names without the prefix.
BARE = {
    ("get", "/functions"),
    ("post", "/functions"),
    ("get", "/functions/{function}"),
    ("put", "/functions/{function}"),
    ("delete", "/functions/{function}"),
    ("post", "/functions/{function}/deploy"),
    ("post", "/functions/{function}/rollback"),
    ("post", "/functions/{function}/invoke"),
    ("get", "/functions/{function}/logs"),
    ("get", "/functions/{function}/metrics"),
    ("get", "/functions/{function}/env"),
    ("post", "/functions/{function}/env"),
    ("delete", "/functions/{function}/env/{var}"),
}
THINGS = (
    "function version alias deployment group digest var secret trigger topic run dead_letter layer number key error"
)
PARAMETERS = {*THINGS.split(" ")}


@pytest.fixture(scope="module")
def two(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A function with two versions."""
    name = f"two-{uuid.uuid4().hex[:12]}"
    for answer in (1, 2):
        folder = write_function(tmp_path_factory.mktemp("fn"), name, f"def handler(): return {answer}\n")
        shared_server.deploy(folder)
    return name


def routes(server: Server) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in server.api.openapi()["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def names_a_route(server: Server, method: str, path: str) -> bool:
    """Whether the server knows the route, whatever it says of what the path names."""
    for place in PARAMETERS:
        path = path.replace(f"{{{place}}}", "never-was")
    reply = server.http.request(method.upper(), path, key=None)
    return reply.status == 401


def test_thirteen_routes_and_no_others_work_without_the_prefix(shared_server: Server) -> None:
    checked = 0
    for method, path, operation in routes(shared_server):
        if path.startswith(V1):
            short = path.removeprefix(V1)
            assert names_a_route(shared_server, method, short) == ((method, short) in BARE), (method, short)
            checked += (method, short) in BARE
            assert operation["operationId"].count(".") == 1, path
    assert checked == len(BARE)


def test_each_kind_of_thing_has_one_name_in_paths(shared_server: Server) -> None:
    found = {
        one["name"]
        for _, _, operation in routes(shared_server)
        for one in operation.get("parameters", [])
        if one["in"] == "path"
    }
    assert found <= PARAMETERS and {"function", "version", "run"} <= found


def test_retired_routes_are_gone(shared_server: Server, two: str) -> None:
    for method, path in (
        ("GET", "/status"),
        ("POST", "/collect"),
        ("POST", "/vault/rekey"),
        ("GET", "/named-layers"),
        ("GET", "/retention"),
        ("GET", "/preflight/policy"),
        ("GET", "/callbacks/secret"),
        ("GET", f"/functions/{two}/canary"),
        ("GET", f"/functions/{two}/versions/1/diff/2"),
        ("POST", f"/functions/{two}/deploy/plan"),
        ("POST", "/layers/shared/plan"),
    ):
        problem = shared_server.http.request(method, V1 + path).expect(404).json()
        assert problem["reason"] == "route_not_found", (method, path)
    shared_server.http.request("POST", f"{V1}/topics/orders", "x").expect(405)


def test_a_version_is_named_by_its_number_its_id_or_an_alias(shared_server: Server, two: str) -> None:
    base = f"{V1}/functions/{two}"
    first, second = (shared_server.http.get(f"{base}/versions/{number}").expect(200).json() for number in (1, 2))
    for known_by in ("2", second["id"], "live"):
        assert shared_server.http.get(f"{base}/versions/{known_by}").expect(200).json() == second
        for below in ("files", "log", "file?path=main.py"):
            shared_server.http.get(f"{base}/versions/{known_by}/{below}").expect(200)
        for against in ("1", first["id"]):
            diff = shared_server.http.get(f"{base}/versions/{known_by}/diff?against={against}").expect(200).json()
            assert (diff["from"], diff["to"], [file["path"] for file in diff["files"]]) == (1, 2, ["main.py"])
    own_id = shared_server.http.get(base).expect(200).json()["id"]
    assert shared_server.http.get(f"{V1}/functions/{own_id}/versions/live").expect(200).json() == second
    for unknown in ("3", "0", "ver_00000000000000000000000000", "beta", "-1", "Live"):
        problem = shared_server.http.get(f"{base}/versions/{unknown}").expect(404).json()
        assert problem["reason"] == "version_not_found" and unknown in problem["detail"], problem
    shared_server.http.get(f"{base}/versions/2/diff").expect(400)


def test_env_and_vars_are_the_same(shared_server: Server, two: str) -> None:
    http, base = shared_server.http, f"{V1}/functions/{two}"
    http.post(f"/functions/{two}/env", {"vars": {"ONE": "1"}}).expect(200)
    http.request("PATCH", f"{base}/vars", json_body={"vars": {"TWO": "2"}}).expect(200)
    row = http.request("PUT", f"{base}/vars/THREE", json_body={"value": "3"}).expect(200).json()
    assert (row["key"], row["value"]) == ("THREE", "3")
    assert http.get(f"/functions/{two}/env").expect(200).json() == http.get(f"{base}/vars").expect(200).json()
    http.request("DELETE", f"/functions/{two}/env/ONE").expect(204)
    http.request("DELETE", f"{base}/vars/TWO").expect(204)
    rows = http.get(f"{base}/vars").expect(200).json()
    assert "THREE" in str(rows) and "ONE" not in str(rows) and "TWO" not in str(rows)
    http.request("PUT", f"{V1}/vars/PLACED?stage=dev", json_body={"value": "x"}).expect(200)
    assert "PLACED" in str(http.get(f"{V1}/vars?stage=dev").expect(200).json())
    http.request("DELETE", f"{V1}/vars/PLACED?stage=dev").expect(204)
    http.request("PUT", f"{base}/vars/0", json_body={"value": "x"}).expect(422)


def test_a_layer_shows_itself_and_its_versions(shared_server: Server, tmp_path: Path) -> None:
    name = f"shared-{uuid.uuid4().hex[:8]}"
    (tmp_path / "one.txt").write_text("1", encoding="utf-8")
    shared_server.cli("layers", "publish", name, str(tmp_path)).ok()
    layer = shared_server.http.get(f"{V1}/layers/{name}").expect(200).json()
    assert (layer["name"], layer["newest"]) == (name, 1)
    shared_server.http.get(f"{V1}/layers/{name}/versions/newest").expect(200)
    shared_server.http.request("DELETE", f"{V1}/layers/{name}").expect(200)
    problem = shared_server.http.get(f"{V1}/layers/{name}").expect(404).json()
    assert problem["reason"] == "layer_not_found"
