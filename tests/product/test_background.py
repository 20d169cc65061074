"""Runs that are accepted for later: answers, retries, dead letters, replays, idempotency, cancelling, holding back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Reply, Server, until, write_function

ADD = "def handler(x: int):\n    print('adding', x)\n    return x + 1\n"
BAD = "def handler(x: int):\n    raise ValueError(f'no {x}')\n"
SLEEP = "import time\n\ndef handler(seconds: float):\n    time.sleep(seconds)\n    return 'slept'\n"
STATUS = "async def app(scope, receive, send):\n    await send({'type': 'http.response.start', 'status': 503})\n"
STATUS += "    await send({'type': 'http.response.body', 'body': b'later'})\n"
FAST_RETRY = '\n[background.retry]\nbackoff = "10ms"\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    source = tmp_path_factory.mktemp("functions")
    with Server() as running:
        deploy(running, source, "add", ADD)
        deploy(running, source, "bad", BAD, FAST_RETRY)
        deploy(running, source, "sleep", SLEEP)
        yield running


def deploy(server: Server, parent: Path, name: str, code: str, manifest: str = "", **settings: Any) -> None:
    """Deploys a function whose manifest has more than plain keys."""
    folder = write_function(parent, name, code, **settings)
    with (folder / "faas.toml").open("a", encoding="utf-8") as file:
        file.write(manifest)
    server.deploy(folder)


def later(server: Server, name: str, body: Any, path: str = "", **headers: str) -> Reply:
    """Has a call accepted."""
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return server.http.post(f"/async/{name}{path}", body, headers=sent)


def ended(server: Server, run: str) -> dict[str, Any]:
    """A run at its end, by the waiting form of the route."""
    reply = server.http.get(f"/api/v1/runs/{run}?wait=30s").expect(200).json()
    assert reply["finished_at"], reply
    return reply


def in_state(server: Server, run: str, state: str) -> None:
    """Waits for a state that passes."""
    until(lambda: server.api.run(run).json()["state"] == state, f"{run} is {state}")


def test_every_door_accepts_and_says_where_the_run_is(server: Server) -> None:
    prefer = {"Prefer": "respond-async"}
    replies = [
        later(server, "add", {"x": 1}),
        server.http.post("/fn/add", {"x": 1}, headers=prefer),
        server.http.post("/api/v1/functions/add/invoke", {"x": 1}, headers=prefer),
        server.http.post("/api/v1/functions/add/invoke?mode=async", {"x": 1}),
    ]
    for reply in replies:
        body = reply.expect(202).json()
        assert reply.headers["x-run-id"] == body["run_id"]
        assert reply.headers["location"] == f"/api/v1/runs/{body['run_id']}"
        assert reply.headers["preference-applied"] == "respond-async"
        # At once, whatever it is doing.
        assert server.http.get(reply.headers["location"]).expect(200).json()["function"] == "add"
        run = ended(server, body["run_id"])
        assert (run["state"], run["result"], run["http_status"]) == ("succeeded", {"result": 2}, 200)
        assert "adding 1" in server.api.log_lines(body["run_id"], 1)[0]["message"]
    assert server.http.post("/api/v1/functions/add/invoke?mode=sync", {"x": 1}, headers=prefer).status == 200


def test_nothing_is_accepted_that_cannot_run(server: Server) -> None:
    before = len(server.api.runs("?limit=200"))
    assert later(server, "nope", {}).status == 404
    assert later(server, "add:nope", {}).status == 404
    assert server.http.post("/async/add", {}, key=None).status == 401
    assert later(server, "add", {}, X_Run_Delay="soon").json()["code"] == "FN_012"
    assert later(server, "add", {}, X_Callback_Url="ftp://x").expect(400).json()["code"] == "FN_012"
    announced = {"Content-Length": str(11 << 20)}
    assert server.http.request("POST", "/async/add", b"", headers=announced).status == 413
    assert len(server.api.runs("?limit=200")) == before


def test_a_large_body_arrives_whole(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "length", "def handler(text: str):\n    return len(text)\n")
    run = later(server, "length", {"text": "ä" * 200_000}).expect(202).json()["run_id"]
    assert ended(server, run)["result"] == {"result": 200_000}
    assert len(server.http.get(f"/api/v1/runs/{run}/input").json()["json"]["text"]) == 200_000


def test_failures_are_retried_then_kept_as_dead_letters_and_redriven(server: Server, tmp_path: Path) -> None:
    run = later(server, "bad", {"x": 7}, X_Tenant="acme", Cookie="secret=1").expect(202).json()["run_id"]
    record = ended(server, run)
    assert record["state"] == "failed"
    assert [attempt["number"] for attempt in record["attempts"]] == [1, 2, 3]
    assert {attempt["message"] for attempt in record["attempts"]} == {"ValueError: no 7"}
    assert (record["error"]["file"], record["error"]["line"]) == ("main.py", 2)
    letter = server.http.get(f"/api/v1/dead-letters/{run}").expect(200).json()
    assert letter["reason"] == "all attempts are used"
    headers = {header["name"]: header["value"] for header in letter["input"]["headers"]}
    assert (letter["input"]["json"], headers["x-tenant"]) == ({"x": 7}, "acme")
    assert "secret" not in json.dumps(letter)
    assert run in [one["run"]["id"] for one in server.http.get("/api/v1/dead-letters?function=bad").json()["items"]]
    assert server.http.get("/api/v1/dead-letters?code=FN_002").json()["items"] == []

    deploy(server, tmp_path, "bad", ADD, FAST_RETRY)
    report = server.http.post("/api/v1/dead-letters/actions/redrive", {"function": "bad"}).expect(202).json()
    again = {one["dead"]: one["run_id"] for one in report["redriven"]}[run]
    redriven = ended(server, again)
    assert (redriven["state"], redriven["parent_run_id"], redriven["trigger"]) == ("succeeded", run, "replay")
    assert server.http.get(f"/api/v1/dead-letters/{run}").status == 404
    assert server.http.post(f"/api/v1/dead-letters/{run}/redrive").status == 404
    deploy(server, tmp_path, "bad", BAD, FAST_RETRY)


def test_dead_letters_can_be_purged(server: Server) -> None:
    runs = [later(server, "bad", {"x": n}).json()["run_id"] for n in range(3)]
    for run in runs:
        ended(server, run)
    assert server.http.request("DELETE", f"/api/v1/dead-letters/{runs[0]}").status == 204
    assert server.http.get(f"/api/v1/runs/{runs[0]}/input").status == 404
    assert server.api.run(runs[0]).json()["state"] == "failed"
    assert server.http.post("/api/v1/dead-letters/actions/purge", {"function": "bad"}).json()["purged"] >= 2
    assert server.http.get("/api/v1/dead-letters?function=bad").json()["items"] == []


def test_what_another_attempt_cannot_mend_is_not_retried(server: Server) -> None:
    run = ended(server, later(server, "add", {"y": 1}).json()["run_id"])
    assert (run["state"], len(run["attempts"]), run["error"]["code"]) == ("failed", 1, "FN_012")


def test_a_status_of_500_or_more_is_a_failed_attempt(server: Server, tmp_path: Path) -> None:
    manifest = '\n[background.retry]\nmax_attempts = 2\nbackoff = "10ms"\n'
    deploy(server, tmp_path, "status", STATUS, manifest, entrypoint="main:app")
    run = ended(server, later(server, "status", {}).json()["run_id"])
    assert (run["state"], len(run["attempts"]), run["http_status"]) == ("failed", 2, 503)
    assert run["error"]["message"] == "the function answered with status 503"


def test_a_run_is_replayed_with_the_same_or_another_body(server: Server) -> None:
    first = later(server, "add", {"x": 1}, path="/p?q=1").json()["run_id"]
    ended(server, first)
    same = server.http.post(f"/api/v1/runs/{first}/replay", {}).expect(202).json()["run_id"]
    assert ended(server, same)["result"] == {"result": 2}
    shown = server.http.get(f"/api/v1/runs/{same}/input").json()
    assert (shown["path"], shown["query"], shown["json"]) == ("/p", "q=1", {"x": 1})
    body = {"payload": {"x": 41}, "version": "current"}
    other = server.http.post(f"/api/v1/runs/{first}/replay", body).expect(202).json()["run_id"]
    record = ended(server, other)
    assert (record["result"], record["parent_run_id"]) == ({"result": 42}, first)
    waited = server.api.call("add", {"x": 1}).expect(200).headers["x-run-id"]
    server.api.finished(waited)
    refused = server.http.post(f"/api/v1/runs/{waited}/replay", {}).expect(404).json()
    assert "not kept" in refused["detail"]


def test_an_idempotency_key_makes_one_run(server: Server) -> None:
    first = later(server, "add", {"x": 5}, Idempotency_Key="a-1").expect(202).json()
    again = later(server, "add", {"x": 5}, Idempotency_Key="a-1").expect(202).json()
    assert (again["run_id"], first["repeated"], again["repeated"]) == (first["run_id"], False, True)
    assert later(server, "add", {"x": 6}, Idempotency_Key="a-1").expect(422).json()["code"] == "FN_030"
    assert later(server, "bad", {"x": 5}, Idempotency_Key="a-1").json()["run_id"] != first["run_id"]


def test_a_waiting_caller_with_a_key_gets_the_same_answer_again(server: Server) -> None:
    def call(body: Any, name: str = "add", key: str = "s-1") -> Reply:
        return server.api.call(name, body, headers={"Idempotency-Key": key})

    first = call({"x": 5}).expect(200)
    again = call({"x": 5}).expect(200)
    assert (again.body, again.headers["x-run-id"]) == (first.body, first.headers["x-run-id"])
    assert again.headers["idempotency-replayed"] == "true" and "idempotency-replayed" not in first.headers
    assert call({"x": 6}).status == 422
    # A failure is not kept: the request may be tried again.
    failed = [call({"x": 1}, name="bad", key="s-2") for _ in range(2)]
    assert [reply.status for reply in failed] == [502, 502]
    assert failed[0].headers["x-run-id"] != failed[1].headers["x-run-id"]


def test_a_second_caller_with_a_key_is_told_that_the_first_waits(server: Server) -> None:
    replies: list[Reply] = []
    headers = {"Idempotency-Key": "w-1"}

    def call() -> None:
        replies.append(server.api.call("sleep", {"seconds": 1.0}, headers=headers))

    caller = threading.Thread(target=call)
    caller.start()
    until(lambda: server.api.function("sleep")["instances"], "the first is under way")
    until(lambda: server.api.call("sleep", {"seconds": 1.0}, headers=headers).status == 409, "the second is refused")
    caller.join(30)
    assert replies[0].status == 200
    assert server.api.call("sleep", {"seconds": 1.0}, headers=headers).headers["idempotency-replayed"] == "true"


def test_a_hundred_callers_with_one_key_make_one_run(server: Server) -> None:
    answers: list[str] = []

    def call() -> None:
        answers.append(later(server, "add", {"x": 9}, Idempotency_Key="h-1").expect(202).json()["run_id"])

    callers = [threading.Thread(target=call) for _ in range(100)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert len(answers) == 100 and len(set(answers)) == 1


def test_runs_are_cancelled_before_and_while_they_run(server: Server, tmp_path: Path) -> None:
    waiting = later(server, "add", {"x": 1}, X_Run_Delay="1h").json()["run_id"]
    record = server.http.post(f"/api/v1/runs/{waiting}/cancel").expect(200).json()
    assert (record["state"], record["attempts"]) == ("cancelled", [])
    assert server.http.post(f"/api/v1/runs/{waiting}/cancel").expect(409).json()["code"] == "FN_014"
    running = later(server, "sleep", {"seconds": 25}).json()["run_id"]
    in_state(server, running, "running")
    began = time.monotonic()
    record = server.http.post(f"/api/v1/runs/{running}/cancel").expect(200).json()
    assert (record["state"], record["error"]["code"]) == ("cancelled", "FN_023")
    assert time.monotonic() - began < 5
    until(lambda: server.api.function("sleep")["waiting_runs"] == 0, "nothing of it is left")
    assert server.http.post("/api/v1/runs/run_01JD2Z7Y5T0000000000000000/cancel").status == 404


def test_a_paused_function_holds_its_runs_and_serves_its_callers(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "held", ADD)
    assert server.http.post("/api/v1/functions/held/pause").expect(200).json()["paused"]
    runs = [later(server, "held", {"x": n}).json()["run_id"] for n in range(5)]
    assert server.api.call("held", {"x": 1}).status == 200
    until(lambda: server.api.function("held")["waiting_runs"] == 5, "all five wait")
    time.sleep(1.5)
    assert {server.api.run(run).json()["state"] for run in runs} == {"queued"}
    assert not server.http.post("/api/v1/functions/held/resume").expect(200).json()["paused"]
    assert {ended(server, run)["state"] for run in runs} == {"succeeded"}


def test_delays_and_ages_are_kept(server: Server) -> None:
    began = time.time()
    run = ended(server, later(server, "add", {"x": 1}, X_Run_Delay="1s").json()["run_id"])
    assert time.time() - began >= 1 and run["state"] == "succeeded"
    assert run["duration_ms"] < (time.time() - began - 1) * 1000 + 100, "the delay is no part of it"
    server.http.post("/api/v1/functions/add/pause").expect(200)
    old = later(server, "add", {"x": 1}, X_Run_Max_Age="100ms").json()["run_id"]
    time.sleep(0.3)
    server.http.post("/api/v1/functions/add/resume").expect(200)
    record = ended(server, old)
    assert (record["state"], record["attempts"]) == ("failed", [])
    assert server.http.get(f"/api/v1/dead-letters/{old}").json()["reason"].startswith("no attempt may begin so long")


def test_modes_and_backlogs_are_kept(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "only-sync", ADD, '\n[background]\nmode = "sync"\n')
    assert later(server, "only-sync", {"x": 1}).expect(422).json()["code"] == "FN_006"
    deploy(server, tmp_path, "only-async", ADD, '\n[background]\nmode = "async"\nbacklog_max = 2\n')
    server.http.post("/api/v1/functions/only-async/pause").expect(200)
    accepted = [server.api.call("only-async", {"x": n}) for n in range(3)]
    assert [reply.status for reply in accepted] == [202, 202, 429]
    assert int(accepted[2].headers["retry-after"]) > 0
    assert server.api.function("only-async")["waiting_runs"] == 2
    server.http.post("/api/v1/functions/only-async/resume").expect(200)
    assert {ended(server, reply.json()["run_id"])["state"] for reply in accepted[:2]} == {"succeeded"}


def test_a_long_queue_does_not_keep_a_waiting_caller_waiting(server: Server, tmp_path: Path) -> None:
    code = "import time\n\ndef handler(x: int):\n    time.sleep(0.2)\n    return x\n"
    deploy(server, tmp_path, "busy", code, scaling={"max": 2})
    runs = [later(server, "busy", {"x": n}).json()["run_id"] for n in range(30)]
    began = time.monotonic()
    assert server.api.call("busy", {"x": 1}).status == 200
    took = time.monotonic() - began
    assert server.api.run(runs[-1]).json()["state"] == "queued", "the queue was not long enough to show anything"
    assert took < 2, f"the caller waited for {took:.1f} s"
    for run in runs:
        server.http.post(f"/api/v1/runs/{run}/cancel")


def test_the_story_of_a_failing_run_by_command(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "story", BAD, FAST_RETRY)
    accepted = server.cli("invoke", "story", "-d", '{"x": 1}', "--async").ok()
    run = accepted.stdout.strip()
    watched = server.cli("runs", "watch", run)
    assert watched.code == 1
    assert "ValueError: no 1" in watched.stdout and "main.py:2" in watched.stdout
    assert run in server.cli("dlq", "list", "--function", "story").ok().stdout
    assert '"x":1' in server.cli("dlq", "get", run).ok().stdout.replace(" ", "")
    deploy(server, tmp_path, "story", ADD)
    replayed = server.cli("runs", "replay", run, "--current", "--wait", "-o", "json").ok().json()
    assert (replayed["state"], replayed["parent_run_id"]) == ("succeeded", run)
    assert server.cli("dlq", "redrive", "--function", "story", "-o", "json").ok().json()["redriven"][0]["dead"] == run
    waited = server.cli("invoke", "story", "-d", '{"x": 2}', "--async", "--wait", "-o", "json").ok().json()
    assert waited["result"] == {"result": 3}
    assert server.cli("dlq", "purge", "--yes").code == 2
    assert server.cli("dlq", "purge", "--all", "-o", "json", "--yes").ok().json()["purged"] >= 0
    assert server.cli("fn", "pause", "story", "-o", "json").ok().json()["paused"]
    assert server.cli("fn", "resume", "story").code == 0
    assert server.cli("runs", "cancel", run).code == 6
