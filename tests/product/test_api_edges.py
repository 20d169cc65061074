"""The API at its edges: what was silently taken, cut or changed is refused, whole or kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Server, write_function

from product.functions import ADD

LONG = "12345678901234567890123"
ECHO_TEXT = f"""
def handler(event, context):
    if context.request.path == "/long":
        return {{"statusCode": 200, "headers": {{"content-type": "application/json"}}, "body": "{LONG}"}}
    return {{"statusCode": 200, "body": context.request.body.decode() + "|" + str(context.request.query)}}
"""


@pytest.fixture
def echo(server: Server, tmp_path: Path, name: str) -> str:
    server.deploy(write_function(tmp_path, name, ECHO_TEXT))
    return name


def test_no_digit_of_a_result_or_a_replayed_body_is_lost(server: Server, echo: str) -> None:
    run_id = server.api.call(echo, path="/long").expect(200).headers["x-run-id"]
    server.api.finished(run_id)
    assert LONG in server.api.run(run_id).body.decode()
    first = server.cli("invoke", echo, "--async", "-d", "{}").ok().stdout.strip()
    server.api.finished(first)
    text = f'{{"n": {LONG}, "x": 0.1000000000000000055511151231257827}}'
    again = server.cli("runs", "replay", first, "-d", text).ok().stdout.strip()
    server.api.finished(again)
    kept = server.http.get(f"/api/v1/runs/{again}/input").expect(200).body.decode()
    assert LONG in kept and "0.1000000000000000055511151231257827" in kept, kept


def test_the_mode_of_a_call_is_not_the_functions(server: Server, echo: str) -> None:
    path = f"/api/v1/functions/{echo}/invoke"
    accepted = server.http.request("POST", f"{path}?mode=async&a=1", json_body={}).expect(202).json()["run_id"]
    server.api.finished(accepted)
    assert server.http.get(f"/api/v1/runs/{accepted}/input").expect(200).json()["query"] == "a=1"


def test_what_a_route_does_not_have_is_refused(server: Server, echo: str) -> None:
    for path in ("/api/v1/runs?bogus=1", "/api/v1/functions?limt=1", f"/api/v1/functions/{echo}?x", "/api/v1/keys?a=b"):
        problem = server.http.get(path).expect(400).json()
        assert "unknown query parameter" in problem["detail"], problem
    run = server.api.invoke(echo, {}).headers["x-run-id"]
    server.api.finished(run)
    assert "60s" in server.http.get(f"/api/v1/runs/{run}?wait=5m").expect(400).json()["detail"]
    server.http.get(f"/api/v1/runs/{run}?wait=1s").expect(200)
    server.http.get("/api/v1/runs?limit=0").expect(400)
    cron = {"type": "cron", "schedule": "@daily"}
    path = f"/api/v1/functions/{echo}/triggers"
    server.http.request("POST", path, json_body={"trigger": cron, "enabeld": False}).expect(422)
    body = {"manifest": {"name": "nope"}, "files": []}
    server.http.request("POST", "/api/v1/functions/!!nope/deployments", json_body=body).expect(422)
    headers = {"x-run-delay": "10s", "x-run-max-age": "1s", "prefer": "respond-async"}
    problem = server.http.request("POST", f"/api/v1/functions/{echo}/invoke", json_body={}, headers=headers)
    assert "x-run-max-age" in problem.expect(400).json()["detail"]


def test_retention_wants_a_unit_and_an_hour(server: Server) -> None:
    path = "/api/v1/settings/retention"
    before = server.http.get(path).expect(200).json()
    for wrong in ({"runs": "5"}, {"runs": "5s"}, {"logs": "59m"}, {"results": "1s"}, {"log_bytes": "100000000"}):
        problem = server.http.request("PATCH", path, json_body=wrong).expect(422).json()
        assert next(iter(wrong)) in problem["detail"], problem
    planned = server.http.request("PATCH", path, json_body={"runs": "2h", "dry_run": True}).expect(200).json()
    assert (planned["runs"], planned["results"], planned["own"]) == ("2h", "2h", True)
    assert server.http.get(path).expect(200).json() == before, "a dry run changes nothing"


def test_runs_and_logs_of_a_deleted_function_stay_reachable(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, "def handler():\n    print('last words')\n    return 1\n"))
    function = server.api.function(name)["id"]
    run = server.api.invoke(name, {}).expect(200).headers["x-run-id"]
    server.api.finished(run)
    server.api.log_lines(run, 1)
    server.http.request("DELETE", f"/api/v1/functions/{name}").expect(204)
    for known_by in (function, name):
        runs = server.http.get(f"/api/v1/runs?function={known_by}").expect(200).json()["items"]
        assert [row["id"] for row in runs] == [run]
        lines = server.http.get(f"/api/v1/functions/{known_by}/logs").expect(200).json()["items"]
        assert "last words" in {line["message"] for line in lines}
        server.http.get(f"/api/v1/dead-letters?function={known_by}").expect(200)
    server.deploy(write_function(tmp_path, name, "def handler():\n    return 2\n"))
    runs = server.http.get(f"/api/v1/runs?function={name}").expect(200).json()["items"]
    assert runs == [], "the name is another's now"
    server.http.get("/api/v1/runs?function=never-was").expect(404)


def test_histories_come_in_pages(server: Server, tmp_path: Path, name: str) -> None:
    for number in range(3):
        server.deploy(write_function(tmp_path / str(number), name, f"{ADD}\n# {number}\n"))
    for rows, key in (("versions", "number"), ("deployments", "id")):
        path = f"/api/v1/functions/{name}/{rows}"
        whole = [row[key] for row in server.http.get(path).expect(200).json()["items"]]
        seen, cursor = [], ""
        while True:
            page = server.http.get(f"{path}?limit=2{cursor}").expect(200).json()
            seen += [row[key] for row in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == whole and len(whole) == 3
    server.http.get(f"/api/v1/functions/{name}/versions?cursor=x").expect(400)


def test_an_alias_that_points_there_already_makes_no_deployment(server: Server, echo: str) -> None:
    def moves() -> int:
        return len(server.http.get(f"/api/v1/functions/{echo}/deployments").expect(200).json()["items"])

    path, before = f"/api/v1/functions/{echo}/aliases/live", moves()
    server.http.request("PUT", path, json_body={"targets": [{"version": 1}]}).expect(200)
    assert moves() == before
    server.http.request("PUT", path, json_body={"targets": [{"version": 1}], "sticky": "cookie:s"}).expect(200)
    assert moves() == before + 1


def test_only_what_passes_is_sent_again(server: Server, echo: str) -> None:
    taken = server.http.request("POST", "/api/v1/functions", json_body={"name": echo}).expect(409).json()
    run = server.api.invoke(echo, {}).headers["x-run-id"]
    server.api.finished(run)
    ended = server.http.request("POST", f"/api/v1/runs/{run}/cancel").expect(409).json()
    for problem in (taken, ended):
        assert problem["retry"] == {"safe": False, "executed": "no"}, problem


def test_what_is_made_has_a_place(server: Server, echo: str) -> None:
    function = f"/api/v1/functions/{echo}"
    cron = {"trigger": {"type": "cron", "name": "tick", "schedule": "@daily"}}
    for path, body in (
        ("/api/v1/functions", {"name": f"{echo}-2"}),
        ("/api/v1/keys", {"name": "a key", "scopes": ["invoke"]}),
        (f"{function}/triggers", cron),
    ):
        made = server.http.request("POST", path, json_body=body).expect(201)
        kept = server.http.get(made.headers["location"]).expect(200).json()
        name = kept.get("name")
        assert name in (f"{echo}-2", "a key", "tick"), kept
    manifest = {"name": echo, "runtime": "python3.12", "entrypoint": "main:handler"}
    files = server.http.get(f"{function}/versions/1/files").expect(200).json()["items"]
    deployed = server.http.request("POST", f"{function}/deploy", json_body={"manifest": manifest, "files": files})
    view = server.http.get(deployed.expect(201).headers["location"]).expect(200).json()
    assert view == deployed.json()


def test_what_is_gone_is_not_deleted_again(server: Server, echo: str) -> None:
    key = server.api.create_key("gone", ["invoke"])["id"]
    for path in (f"/api/v1/keys/{key}", f"/api/v1/functions/{echo}"):
        server.http.request("DELETE", path).expect(204)
        server.http.request("DELETE", path).expect(404)


def test_times_say_that_they_are(server: Server) -> None:
    schemas = server.api.openapi()["components"]["schemas"]
    times = [
        (name, key, schema)
        for name, of in schemas.items()
        for key, schema in of.get("properties", {}).items()
        if key.endswith("_at") and "string" in schema.get("type", [])
    ]
    assert len(times) > 20
    assert all(schema.get("format") == "date-time" for _, _, schema in times), times
