"""Webhooks against the reference library of Standard Webhooks, and against senders that are not who they say."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from harness import Server, write_function
from harness.http import Reply
from standardwebhooks import Webhook

BODY = json.dumps({"order": 7, "note": "ünï"})
HOOK = """
def handler(event, context):
    return {"got": event["order"], "kind": context.request.headers.get("x-faas-trigger")}
"""
Send = Callable[..., Reply]


class Door:
    """A webhook of a function, and the sender that knows its secret."""

    def __init__(self, server: Server, function: str, respond: str = "accepted") -> None:
        self.server, self.function = server, function
        body = {"trigger": {"type": "webhook", "name": "door", "respond": respond}}
        added = server.http.post(f"/api/v1/functions/{function}/triggers", body).expect(201).json()
        self.secret: str = added["secret"]
        self.path = "/hooks/" + added["trigger"]["url"].rsplit("/", 1)[1]

    def signed(self, delivery: str, at: datetime | None = None, secret: str | None = None) -> dict[str, str]:
        at = at or datetime.now(tz=timezone.utc)
        signature = Webhook(secret or self.secret).sign(msg_id=delivery, timestamp=at, data=BODY)
        return {
            "webhook-id": delivery,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
            "content-type": "application/json",
        }

    def send(self, headers: dict[str, str], body: str = BODY) -> Reply:
        return self.server.http.request("POST", self.path, body, headers=headers, key=None)

    def seen(self) -> dict[str, Any]:
        path = f"/api/v1/functions/{self.function}/triggers/door"
        return self.server.http.get(path).expect(200).json()


@pytest.fixture
def hooked(server: Server, tmp_path: Path, name: str) -> str:
    server.deploy(write_function(tmp_path, name, HOOK))
    return name


def test_what_the_reference_library_signs_makes_one_run(server: Server, hooked: str) -> None:
    door = Door(server, hooked)
    delivery = f"msg_{uuid.uuid4().hex}"
    first = door.send(door.signed(delivery)).expect(202)
    run = server.api.finished(first.json()["run_id"])
    assert (run["state"], run["trigger"], run["trigger_name"]) == ("succeeded", "webhook", "door")
    assert run["result"] == {"got": 7, "kind": "webhook"}
    assert first.headers["location"] == f"/api/v1/runs/{run['id']}"
    # The sender tries again, later and signed anew: the same run.
    later = door.signed(delivery, datetime.now(tz=timezone.utc) + timedelta(seconds=30))
    again = door.send(later).expect(202).json()
    assert again == {"run_id": run["id"], "repeated": True}
    assert len(server.api.runs(f"?function={hooked}")) == 1
    assert door.seen()["fired"] == 1


def test_tampered_stale_and_early_deliveries_are_refused(server: Server, hooked: str) -> None:
    door = Door(server, hooked)
    now = datetime.now(tz=timezone.utc)
    forged = Webhook("whsec_" + "QUJD" * 8)
    refused = [
        (door.signed("msg_1"), BODY.replace("7", "8")),
        (door.signed("msg_1", now - timedelta(minutes=6)), BODY),
        (door.signed("msg_1", now + timedelta(minutes=6)), BODY),
        (door.signed("msg_1") | {"webhook-id": "msg_2"}, BODY),
        (door.signed("msg_1") | {"webhook-signature": forged.sign("msg_1", now, BODY)}, BODY),
        ({"content-type": "application/json"}, BODY),
    ]
    for headers, body in refused:
        reply = door.send(headers, body).expect(401)
        assert reply.json()["code"] == "FN_010"
        assert door.secret not in reply.body.decode()
    assert server.api.runs(f"?function={hooked}") == []
    assert (door.seen()["fired"], door.seen()["refused"]) == (0, len(refused))


def test_a_rotation_keeps_both_secrets_good(server: Server, hooked: str) -> None:
    door = Door(server, hooked)
    fresh = server.cli("triggers", "rotate", hooked, "door", "--keep", "1h").ok().stdout.strip()
    assert fresh.startswith("whsec_") and fresh != door.secret
    door.send(door.signed("msg_old")).expect(202)
    door.send(door.signed("msg_new", secret=fresh)).expect(202)
    assert door.seen()["secrets"] == 2
    last = server.cli("triggers", "rotate", hooked, "door", "--keep", "0s").ok().stdout.strip()
    door.send(door.signed("msg_3", secret=fresh)).expect(401)
    door.send(door.signed("msg_4", secret=last)).expect(202)


def test_an_answer_is_the_functions_own_and_comes_again(server: Server, hooked: str) -> None:
    door = Door(server, hooked, respond="answer")
    first = door.send(door.signed("msg_1")).expect(200)
    again = door.send(door.signed("msg_1")).expect(200)
    assert first.json() == again.json() == {"got": 7, "kind": "webhook"}
    assert first.headers["x-run-id"] == again.headers["x-run-id"]
    assert (first.headers["x-delivery-repeated"], again.headers["x-delivery-repeated"]) == ("false", "true")


def test_a_webhook_of_the_manifest_lets_nobody_in_before_it_has_a_secret(
    server: Server, tmp_path: Path, name: str
) -> None:
    folder = write_function(tmp_path, name, HOOK)
    manifest = folder / "faas.toml"
    manifest.write_text(manifest.read_text() + '[[triggers]]\ntype = "webhook"\nscheme = "github"\n')
    server.deploy(folder)
    view = server.cli("triggers", "list", name, "-o", "json").ok().json()["items"][0]
    assert (view["name"], view["origin"], view["secrets"]) == ("webhook-1", "manifest", 0)
    path = "/hooks/" + view["url"].rsplit("/", 1)[1]
    signed = {"x-github-delivery": "1", "x-hub-signature-256": "sha256=" + "0" * 64}
    assert "no secret" in server.http.request("POST", path, "{}", headers=signed, key=None).expect(401).json()["detail"]
    server.cli("triggers", "rotate", name, "webhook-1", "--secret-file", "-", stdin="It's a Secret to Everybody\n").ok()
    run = server.cli("triggers", "test", name, "webhook-1", "-d", BODY).ok().stdout.strip()
    assert server.api.finished(run)["result"] == {"got": 7, "kind": "webhook"}
    # Another deployment keeps URL and secret.
    server.deploy(folder)
    after = server.cli("triggers", "list", name, "-o", "json").ok().json()["items"][0]
    assert (after["url"], after["secrets"], after["id"]) == (view["url"], 1, view["id"])


def test_only_post_to_a_token_that_there_is(server: Server, hooked: str) -> None:
    door = Door(server, hooked)
    server.http.get(door.path, key=None).expect(405)
    server.http.request("POST", "/hooks/guessed", "{}", key=None).expect(404)
    announced = {"Content-Length": str(10 * 1024 * 1024 + 1)}
    server.http.request("POST", door.path, BODY, headers=door.signed("msg_1") | announced, key=None).expect(413)
    server.cli("triggers", "disable", hooked, "door").ok()
    door.send(door.signed("msg_1")).expect(404)


def test_secrets_are_in_no_file_and_in_no_list(hooked: str, server: Server) -> None:
    door = Door(server, hooked)
    door.send(door.signed("msg_1")).expect(202)
    for text in (door.secret, door.secret.removeprefix("whsec_"), door.path.removeprefix("/hooks/")):
        for path in server.data.rglob("*"):
            if path.is_file():
                assert text.encode() not in path.read_bytes(), path
        assert text not in server.log()
    assert door.secret not in json.dumps(door.seen())
