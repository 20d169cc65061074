"""What ran: filters, pages, the log of a run that has ended, and how long all of it is kept."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import pytest
from harness import Server, until, write_function

FAILS_ON_ODD = """
import time

def handler(event):
    print("began", event["n"])
    if event["n"] == 4:
        time.sleep(0.3)
    if event["n"] % 2:
        raise ValueError("odd")
    print("all is well with", event["n"])
    return event["n"]
"""


@pytest.fixture
def ran(server: Server, tmp_path: Path, name: str) -> list[str]:
    """Run ids of six calls, oldest first; 1, 3 and 5 fail, 4 is slow."""
    server.deploy(write_function(tmp_path, name, FAILS_ON_ODD, scaling={"max": 1}))
    ids = [server.api.invoke(name, {"n": n}).headers["x-run-id"] for n in range(6)]
    for run_id in ids:
        server.api.finished(run_id)
    return ids


def listed(server: Server, name: str, **filters: object) -> list[str]:
    query = urlencode({"function": name} | {key: str(value) for key, value in filters.items()})
    return [run["id"] for run in server.api.runs(f"?{query}")]


def test_filters_in_any_combination(server: Server, ran: list[str], name: str) -> None:
    newest_first = ran[::-1]
    assert listed(server, name) == newest_first
    assert listed(server, name, state="failed") == [ran[5], ran[3], ran[1]]
    assert listed(server, name, code="FN_004", limit=2) == [ran[5], ran[3]]
    assert listed(server, name, min_duration="290ms") == [ran[4]]
    assert listed(server, name, state="succeeded", max_duration="290ms", cold="false") == [ran[2]]
    assert listed(server, name, cold="true") == [ran[0]]
    assert listed(server, name, trigger="api", version=1) == newest_first
    assert listed(server, name, trigger="http") == []
    assert listed(server, name, version=2) == []
    assert listed(server, name, since="1h", until="2030-01-01T00:00:00Z") == newest_first
    assert listed(server, name, until="1h") == []
    for wrong in ("state=done", "trigger=moon", "min_duration=long", "since=yesterday", "cursor=x", "limit=0"):
        problem = server.http.get(f"/api/v1/runs?{wrong}").expect(400).json()
        assert wrong.partition("=")[0] in problem["detail"], problem


def test_pages_stay_while_runs_are_written(server: Server, ran: list[str], name: str) -> None:
    paged: list[str] = []
    cursor = ""
    while True:
        page = server.http.get(f"/api/v1/runs?function={name}&limit=2{cursor}").expect(200).json()
        paged += [run["id"] for run in page["items"]]
        server.api.finished(server.api.invoke(name, {"n": 0}).headers["x-run-id"])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert paged == ran[::-1]


def test_the_command_line_lists_them(server: Server, ran: list[str], name: str) -> None:
    table = server.cli("runs", "list", "--function", name, "--state", "failed", "-n", "2").ok().stdout.splitlines()
    assert table[0].split() == ["ID", "FUNCTION", "STATE", "TRIGGER", "WHEN", "DURATION", "COLD", "ERROR"]
    assert [line.split()[0] for line in table[1:]] == [ran[5], ran[3]]
    assert "ago" in table[1] and table[1].endswith("FN_004")
    short = [line.replace(f"{name}:1", "a-name-of-15:12") for line in table[1:]]
    assert max(len(line) for line in short) <= 100, short
    rows = server.cli("runs", "list", "--function", name, "--min-duration", "290ms", "-o", "ndjson").ok().stdout
    assert [json.loads(row)["id"] for row in rows.splitlines()] == [ran[4]]
    page = server.cli("runs", "list", "--function", name, "-n", "4", "-o", "json").ok().json()
    rest = server.cli("runs", "list", "--function", name, "--cursor", page["next_cursor"], "-o", "json").ok().json()
    assert [run["id"] for run in page["items"] + rest["items"]] == ran[::-1]
    assert (
        server.cli("runs", "list", "--function", name, "--warm", "--state", "failed", "-o", "json").ok().json()["items"]
    )


def test_logs_are_searched_and_read_backwards(server: Server, ran: list[str], name: str) -> None:
    def messages(*words: str) -> list[str]:
        return [json.loads(line)["message"] for line in server.cli(*words, "-o", "ndjson").ok().stdout.splitlines()]

    assert messages("logs", name, "--search", "ALL is well") == [f"all is well with {n}" for n in (0, 2, 4)]
    assert messages("logs", name, "-n", "1", "--search", "began") == ["began 5"]
    assert messages("logs", "--run", ran[2]) == ["began 2", "all is well with 2"]
    assert messages("logs", name, "--run", ran[2], "--search", "well") == ["all is well with 2"]
    assert messages("logs", name, "--until", "1h") == []
    raised = [message.splitlines()[0] for message in messages("logs", name, "--level", "error")]
    assert raised == ["FN_004 ValueError: odd (main.py:9)"] * 3
    assert set(messages("logs", "--since", "1h", "--search", "all is well with 4")) == {"all is well with 4"}
    page = server.http.get(f"/api/v1/functions/{name}/logs?order=desc&limit=2").expect(200).json()
    before = server.http.get(f"/api/v1/functions/{name}/logs?order=desc&limit=2&cursor={page['next_cursor']}").json()
    shown = [line["message"] for line in (page["items"] + before["items"])[::-1]]
    assert shown == messages("logs", name, "-n", "4"), "pages that go back put together"
    assert {line["function"] for line in page["items"]} == {name}


def test_following_a_run_that_has_ended_ends(server: Server, ran: list[str], name: str) -> None:
    for words in (
        ["runs", "logs", ran[2], "-f"],
        ["logs", name, "--run", ran[2], "-f"],
        ["logs", "--run", ran[2], "-f"],
    ):
        shown = server.cli(*words, timeout=20).ok().stdout
        assert "all is well with 2" in shown and "began 3" not in shown
    with closing(server.http.connect(timeout=20)) as connection:
        path = f"/api/v1/runs/{ran[2]}/logs?follow=true&search=absent"
        connection.request("GET", path, headers={"Authorization": f"Bearer {server.key}"})
        text = connection.getresponse().read().decode()
    assert "event: end" in text and "event: log" not in text
    server.http.get(f"/api/v1/functions/{name}/logs?follow=true&until=1h").expect(400)


def test_retention_of_a_project(tmp_path: Path) -> None:
    with Server(env={"FAAS_RETENTION_LOGS": "3d"}) as server:
        server.deploy(write_function(tmp_path, "short", FAILS_ON_ODD))
        path = "/api/v1/settings/retention"
        assert server.http.get(path).expect(200).json() == {
            "runs": "30d",
            "results": "7d",
            "logs": "3d",
            "log_bytes": "10GB",
            "run_bytes": "4GB",
            "own": False,
        }
        own = server.http.request("PATCH", path, json_body={"results": "2h", "logs": "1h"}).expect(200).json()
        assert (own["results"], own["logs"], own["runs"], own["own"]) == ("2h", "1h", "30d", True)
        for wrong in (
            {"runs": "soon"},
            {"runs": "0s"},
            {"runs": "1d", "results": "2d"},
            {"log_bytes": "1KB"},
            {"run_bytes": "1KB"},
        ):
            problem = server.http.request("PATCH", path, json_body=wrong).expect(422).json()
            assert list(wrong)[-1] in problem["detail"], problem
        server.http.request("DELETE", path).expect(204)
        assert server.http.get(path).expect(200).json()["own"] is False


def test_what_has_expired_goes_step_by_step() -> None:
    short = {"FAAS_RETENTION_RESULTS": "1s", "FAAS_RETENTION_RUNS": "12s", "FAAS_RETENTION_LOGS": "12s"}
    with Server(env=short) as server, TemporaryDirectory() as folder:
        server.deploy(write_function(Path(folder), "short", FAILS_ON_ODD))
        path = "/api/v1/settings/retention"
        kept = server.api.invoke("short", {"n": 2}).expect(200).headers["x-run-id"]
        assert server.api.finished(kept)["state"] == "succeeded"
        server.api.log_lines(kept, 2)
        until(lambda: server.api.run(kept).json()["result"] is None or _again(server, path), "the result goes")
        assert server.api.run(kept).json()["state"] == "succeeded", "its run stays"
        assert server.api.log_lines(kept, 2), "its lines stay"
        until(lambda: server.api.run(kept).status == 404 or _again(server, path), "the run goes", within=40)
        metrics = server.http.get("/metrics").expect(200).body.decode()
        assert 'faas_history_expired_total{kind="log_lines"}' in metrics


def _again(server: Server, path: str) -> bool:
    """What is a second old by now may go at the next look, which a change brings about."""
    server.http.request("PATCH", path, json_body={}).expect(200)
    return False
