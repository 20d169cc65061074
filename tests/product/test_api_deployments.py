"""Deployments that go on by themselves: followed, found again and cancelled, whatever becomes of client or server."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness import Reply, Server, until, write_function

from product.blobs import file_body, upload

CODE = "def handler():\n    return {answer!r}\n"
GATED = "import time\ntime.sleep({seconds})\n" + CODE
ENDED = ("succeeded", "failed", "cancelled")


def start(server: Server, name: str, code: str, query: str = "", **headers: str) -> Reply:
    """Asks for a deployment."""
    body = {"manifest": {"name": name}, "files": upload(server, {"main.py": code})}
    path = f"/api/v1/functions/{name}/deployments{query}"
    return server.http.request("POST", path, json_body=body, headers=headers, timeout=120)


def shown(server: Server, deployment: str) -> dict[str, Any]:
    """A deployment as it is now."""
    found: dict[str, Any] = server.http.get(f"/api/v1/deployments/{deployment}").expect(200).json()
    return found


def follow(server: Server, deployment: str, after: str | None = None) -> Iterator[dict[str, Any]]:
    """The events of a deployment until its end, from a connection of its own."""
    collection = "deployment-groups" if deployment.startswith("dgr_") else "deployments"
    headers = {"Authorization": f"Bearer {server.key}", "Accept": "application/x-ndjson"}
    if after is not None:
        headers["Last-Event-ID"] = after
    with closing(server.http.connect(timeout=60)) as connection:
        connection.request("GET", f"/api/v1/{collection}/{deployment}/events", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        for line in answer:
            event = json.loads(line)
            if event["type"] != "heartbeat":
                yield event


def answer(server: Server, name: str) -> Any:
    """What a function answers."""
    return server.api.invoke(name).expect(200).json()["result"]


def reached(server: Server, deployment: str, state: str) -> None:
    """Waits until a deployment is so far."""
    until(lambda: shown(server, deployment)["state"] in (state, *ENDED), f"it is {state}", within=60)
    assert shown(server, deployment)["state"] == state


def test_a_deployment_is_accepted_and_looks_the_same_everywhere(server: Server, name: str) -> None:
    accepted = start(server, name, CODE.format(answer=1)).expect(202)
    begun = accepted.json()
    assert accepted.headers["location"] == f"/api/v1/deployments/{begun['id']}"
    assert begun["state"] in ("queued", "building", "checking", "succeeded") and begun["kind"] == "deploy"
    events = list(follow(server, begun["id"]))
    assert events[-1]["type"] == "end"
    ended = shown(server, begun["id"])
    assert (ended["state"], ended["version"], ended["function"], ended["problem"]) == ("succeeded", 1, name, None)
    assert ended["function_id"] == server.api.function(name)["id"]
    listed = server.http.get(f"/api/v1/functions/{name}/deployments").expect(200).json()["items"]
    assert events[-1]["data"] == ended and listed == [ended]
    assert begun.keys() == ended.keys()


def test_prefer_waits_for_the_end(server: Server, name: str) -> None:
    made = start(server, name, CODE.format(answer=1), Prefer="wait=60").expect(201)
    assert made.json()["state"] == "succeeded" and made.headers["preference-applied"] == "wait=60"
    failed = start(server, name, "nonsense(", Prefer="wait=60").expect(422).json()
    assert (failed["code"], failed["reason"]) == ("FN_005", "deployment_failed")
    slow = start(server, name, GATED.format(seconds=20, answer=2), Prefer="respond-async, wait=1").expect(202).json()
    assert slow["state"] in ("building", "checking")
    server.http.post(f"/api/v1/deployments/{slow['id']}/cancel").expect(200)
    bad = start(server, name, CODE.format(answer=1), Prefer="wait=5m").expect(400).json()
    assert bad["reason"] == "invalid_header" and "Prefer" in bad["detail"]


def test_what_failed_stays_with_its_problem_and_its_events(server: Server, name: str) -> None:
    begun = start(server, name, "print('about to fail')\nraise KeyError('x')\n").expect(202).json()
    events = list(follow(server, begun["id"]))
    assert events[-1]["type"] == "error" and events[-1]["data"]["code"] == "FN_005"
    ended = shown(server, begun["id"])
    assert (ended["state"], ended["version"], ended["function_id"]) == ("failed", None, None)
    assert ended["problem"] == events[-1]["data"]
    server.http.get(f"/api/v1/functions/{name}").expect(404)
    # Once the function is there, its list has what failed before.
    start(server, name, CODE.format(answer=1), Prefer="wait=60").expect(201)
    path = f"/api/v1/functions/{name}/deployments"
    states = [one["state"] for one in server.http.get(path).expect(200).json()["items"]]
    assert states == ["succeeded", "failed"]
    failed = server.http.get(f"{path}?state=failed,cancelled").expect(200).json()["items"]
    assert [one["id"] for one in failed] == [begun["id"]]
    assert list(follow(server, begun["id"])) == events, "events are kept"


def test_events_are_a_page_or_go_on_after_any_of_them(server: Server, name: str) -> None:
    begun = start(server, name, "print('hello')\n" + CODE.format(answer=1), Prefer="wait=60").expect(201).json()
    whole = list(follow(server, begun["id"]))
    assert [int(event["id"]) for event in whole] == list(range(1, len(whole) + 1))
    assert {"type": "log", "message": "hello"} in [
        {"type": event["type"], "message": event["data"].get("message")} for event in whole
    ]
    for event in whole:
        assert list(follow(server, begun["id"], after=event["id"])) == (whole[int(event["id"]) :] or whole[-1:])
    path, pages, cursor = f"/api/v1/deployments/{begun['id']}/events", [], ""
    while True:
        page = server.http.get(f"{path}?limit=2{cursor}").expect(200).json()
        pages += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert pages == whole[:-1], "a page has what happened; the end is the deployment itself"


def test_a_dry_run_does_all_but_the_move(server: Server, name: str) -> None:
    start(server, name, CODE.format(answer=1), Prefer="wait=60").expect(201)
    dry = start(server, name, CODE.format(answer=2), "?dry_run=true", Prefer="wait=60").expect(201).json()
    assert (dry["state"], dry["dry_run"], dry["version"]) == ("succeeded", True, None)
    assert [event["data"].get("step") for event in follow(server, dry["id"])].count("loading") == 1
    assert server.api.function(name)["latest_version"] == 1
    start(server, name, "nonsense(", "?dry_run=true", Prefer="wait=60").expect(422)
    assert answer(server, name) == 1
    assert "FN_013" in server.cli("rollback", name).exits(4).stderr, "a dry run is no way back"


@pytest.mark.parametrize("state", ["building", "checking"])
def test_a_deployment_is_cancelled_before_its_commit(server: Server, name: str, state: str) -> None:
    start(server, name, CODE.format(answer=1), Prefer="wait=60").expect(201)
    begun = start(server, name, GATED.format(seconds=25, answer=2)).expect(202).json()
    reached(server, begun["id"], "checking") if state == "checking" else None
    ended = server.http.post(f"/api/v1/deployments/{begun['id']}/cancel").expect(200).json()
    assert (ended["state"], ended["version"]) == ("cancelled", None)
    assert ended["problem"]["reason"] == "deployment_cancelled" and "admin" in ended["problem"]["detail"]
    assert list(follow(server, begun["id"]))[-1]["type"] == "error"
    again = server.http.post(f"/api/v1/deployments/{begun['id']}/cancel").expect(409).json()
    assert again["reason"] == "deployment_ended" and "cancelled" in again["detail"]
    # Nothing was changed, and the function is free at once.
    assert answer(server, name) == 1
    assert start(server, name, CODE.format(answer=3), Prefer="wait=60").expect(201).json()["version"] == 2


def test_what_has_ended_is_not_cancelled(server: Server, name: str) -> None:
    done = start(server, name, CODE.format(answer=1), Prefer="wait=60").expect(201).json()
    refused = server.http.post(f"/api/v1/deployments/{done['id']}/cancel").expect(409).json()
    assert refused["reason"] == "deployment_ended" and "roll back" in refused["hint"]
    for unknown in ("dep_01JD2Z7Y5T0000000000000000", "nonsense"):
        for method, rest in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
            gone = server.http.request(method, f"/api/v1/deployments/{unknown}{rest}").expect(404).json()
            assert gone["reason"] == "deployment_not_found"


def test_moves_of_aliases_are_rows_of_the_same_list(server: Server, name: str) -> None:
    for answer in (1, 2):
        start(server, name, CODE.format(answer=answer), Prefer="wait=60").expect(201)
    back = server.http.post(f"/api/v1/functions/{name}/rollback", {}).expect(200).json()
    assert (back["kind"], back["version"], back["from"], back["state"]) == ("rollback", 1, 2, "succeeded")
    assert shown(server, back["id"]) == back
    assert list(follow(server, back["id"]))[-1]["data"] == back
    body = {"targets": [{"version": 2}]}
    server.http.request("PUT", f"/api/v1/functions/{name}/aliases/staging", json_body=body).expect(201)
    rows = server.http.get(f"/api/v1/functions/{name}/deployments").expect(200).json()["items"]
    assert [(row["kind"], row["alias"]) for row in rows] == [
        ("set", "staging"),
        ("rollback", "live"),
        ("deploy", "live"),
        ("deploy", "live"),
    ]
    server.http.request("DELETE", f"/api/v1/functions/{name}").expect(204)
    for row in rows:
        server.http.get(f"/api/v1/deployments/{row['id']}").expect(404)


def test_a_group_goes_on_by_itself_too(server: Server, name: str) -> None:
    names = [f"{name[:50]}-a", f"{name[:50]}-b"]

    def ask(answer: int, code: str = CODE) -> Reply:
        files = upload(server, {"main.py": code.format(answer=answer, seconds=25)})
        functions = [{"manifest": {"name": one}, "files": files} for one in names]
        return server.http.post("/api/v1/deployment-groups", {"functions": functions})

    accepted = ask(1).expect(202)
    group = accepted.json()
    assert group["id"].startswith("dgr_") and accepted.headers["location"].endswith(group["id"])
    events = list(follow(server, group["id"]))
    ended = server.http.get(f"/api/v1/deployment-groups/{group['id']}").expect(200).json()
    assert events[-1]["type"] == "end" and events[-1]["data"] == ended
    assert [(one["function"], one["state"], one["version"]) for one in ended["deployments"]] == [
        (names[0], "succeeded", 1),
        (names[1], "succeeded", 1),
    ]
    member = ended["deployments"][1]
    assert shown(server, member["id"]) == member and member["group"] == group["id"]
    own = list(follow(server, member["id"]))
    assert {event["data"]["function"] for event in own} == {names[1]}, "only its own events"
    slow = ask(2, GATED).expect(202).json()
    refused = server.http.post(f"/api/v1/deployments/{slow['deployments'][0]['id']}/cancel").expect(409).json()
    assert slow["id"] in refused["detail"]
    cancelled = server.http.post(f"/api/v1/deployment-groups/{slow['id']}/cancel").expect(200).json()
    assert cancelled["state"] == "cancelled"
    assert {one["state"] for one in cancelled["deployments"]} == {"cancelled"}
    server.http.post(f"/api/v1/deployment-groups/{slow['id']}/rollback", {}).expect(409)
    assert [server.api.function(one)["version"] for one in names] == [1, 1]
    listed = server.http.get("/api/v1/deployment-groups?limit=2").expect(200).json()["items"]
    assert [one["id"] for one in listed] == [slow["id"], group["id"]]


def test_a_damaged_file_is_asked_for_again(server: Server, name: str) -> None:
    code = f"# {name}\n" + CODE.format(answer=1)
    body = file_body("main.py", code.encode())
    upload(server, {"main.py": code})
    check = {"files": [body]}
    assert server.http.post("/api/v1/blobs/check", check).expect(200).json()["missing"] == []
    server.http.request("HEAD", f"/api/v1/blobs/{body['digest']}").expect(200)
    stored = server.data / "blobs" / body["digest"][:2] / body["digest"][2:]
    stored.write_bytes(b"#" * len(code))
    missing = server.http.post("/api/v1/blobs/check", check).expect(200).json()
    assert missing == {"missing": [body["digest"]], "total_bytes": len(code), "missing_bytes": len(code)}
    server.http.request("HEAD", f"/api/v1/blobs/{body['digest']}").expect(404)
    start(server, name, code, Prefer="wait=60").expect(201)


def killed_at(server: Server, folder: Path, words: str, delay: float) -> str:
    """Starts a deployment by the command line and kills it some time after it has said these words."""
    command = [str(server.program), "deploy", str(folder), "-o", "ndjson"]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=server.cli.env)
    assert client.stdout is not None
    seen = ""
    killer = threading.Timer(delay, client.kill)
    for line in client.stdout:
        seen += line
        if words in line and not killer.is_alive():
            killer.start()
    client.wait(60)
    killer.cancel()
    return seen


def test_a_client_that_is_killed_leaves_what_can_be_found(server: Server, tmp_path: Path, name: str) -> None:
    """20 points of upload and pipeline: nothing was accepted, or it is found, and followed to its end or cancelled."""
    server.deploy(write_function(tmp_path / "first", name, CODE.format(answer=0)))
    points = ["compared", "uploading", "queued", "building", "loading"]
    path = f"/api/v1/functions/{name}/deployments"
    outcomes = []
    for turn in range(1, 21):
        files = {"main.py": GATED.format(seconds=0.3, answer=turn)}
        files |= {f"data_{n}.txt": f"{turn}-{n}-" + "x" * 100_000 for n in range(10)}
        before = server.http.get(path).expect(200).json()["items"][0]
        served = server.api.function(name)["version"]
        folder = write_function(tmp_path / str(turn), name, files)
        killed_at(server, folder, points[turn % len(points)], (turn // len(points)) * 0.04)
        newest = server.http.get(path).expect(200).json()["items"][0]
        if newest["id"] == before["id"]:
            outcomes.append("not accepted")
            assert server.api.function(name)["version"] == served
            continue
        if turn % 2 == 0:
            server.http.post(f"/api/v1/deployments/{newest['id']}/cancel")
        last = list(follow(server, newest["id"]))[-1]
        ended = shown(server, newest["id"])
        outcomes.append(ended["state"])
        assert (last["type"], ended["state"]) in (("end", "succeeded"), ("error", "cancelled"))
        moved = ended["state"] == "succeeded"
        assert server.api.function(name)["version"] == (ended["version"] if moved else served)
        assert answer(server, name) == (turn if moved else answer(server, f"{name}:{served}"))
    assert {"succeeded", "cancelled"} <= set(outcomes), outcomes


def test_a_server_that_is_killed_tells_what_became_of_it(tmp_path: Path) -> None:
    """Each deployment has ended after the restart: whole, or as failed without a trace in the function."""
    draw = random.Random(7)
    with Server() as server:
        server.deploy(write_function(tmp_path, "kept", CODE.format(answer=0)))
        states = []
        for turn in range(1, 11):
            # Every other one is still being loaded when the server dies.
            code = GATED.format(seconds=3 if turn % 2 else 0, answer=turn)
            begun = start(server, "kept", code).expect(202).json()
            fresh = start(server, f"fresh-{turn}", code).expect(202).json()
            for event in follow(server, begun["id"]):
                if event["id"] == str(turn % 4 + 1):
                    break
            threading.Event().wait(draw.random() * 0.3)
            server.kill()
            server.start()
            ended, new = shown(server, begun["id"]), shown(server, fresh["id"])
            for one in (ended, new):
                states.append(one["state"])
                assert one["state"] in ("succeeded", "failed")
                if one["state"] == "failed":
                    assert one["problem"]["reason"] == "deployment_interrupted" and one["version"] is None
            assert list(follow(server, begun["id"]))[-1]["type"] == ("end" if ended["version"] else "error")
            function = server.api.function("kept")
            versions = server.http.get("/api/v1/functions/kept/versions").expect(200).json()
            numbers = [one["number"] for one in versions.get("items", versions.get("versions"))]
            assert max(numbers) == function["version"] == function["latest_version"], "no half-made version"
            if ended["state"] == "succeeded":
                assert (function["version"], answer(server, "kept")) == (ended["version"], turn)
            server.http.get(f"/api/v1/functions/fresh-{turn}").expect(200 if new["state"] == "succeeded" else 404)
        assert "failed" in states, states


def test_the_command_line_lets_go_follows_and_cancels(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, GATED.format(seconds=1, answer=1))
    deployment = server.cli("deploy", folder, "--detach").ok().stdout.strip()
    assert deployment.startswith("dep_")
    followed = [
        json.loads(line)
        for line in server.cli("deployments", "events", deployment, "-o", "ndjson").ok().stdout.splitlines()
    ]
    assert followed == list(follow(server, deployment))
    assert server.cli("deployments", "get", deployment, "-o", "json").ok().json() == shown(server, deployment)
    assert "ended" in server.cli("deployments", "events", deployment).ok().stdout
    slow = write_function(tmp_path / "slow", name, GATED.format(seconds=25, answer=2))
    begun = server.cli("deploy", slow, "--detach", "-o", "json").ok().json()["id"]
    assert server.cli("deployments", "cancel", begun, "-o", "json").ok().json()["state"] == "cancelled"
    listed = server.cli("deployments", "list", name, "--state", "cancelled", "-o", "json").ok().json()["items"]
    assert [one["id"] for one in listed] == [begun]
    assert "deployment_cancelled" in server.cli("deployments", "events", begun, "-o", "json").exits(1).stderr
    server.cli("deployments", "get", "dep_01JD2Z7Y5T0000000000000000").exits(4)


def test_a_signal_cancels_what_can_be_cancelled(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path / "first", name, CODE.format(answer=1)))
    slow = write_function(tmp_path / "slow", name, GATED.format(seconds=25, answer=2))
    command = [str(server.program), "deploy", str(slow)]
    client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=server.cli.env)
    assert client.stderr is not None
    for line in client.stderr:
        if "loading the entrypoint" in line:
            break
    client.send_signal(signal.SIGINT)
    assert client.wait(30) == 130
    assert "is cancelled, nothing was changed" in client.stderr.read()
    newest = server.http.get(f"/api/v1/functions/{name}/deployments").expect(200).json()["items"][0]
    assert newest["state"] == "cancelled" and answer(server, name) == 1
