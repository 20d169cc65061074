"""Triggers and destinations that call a function by another alias than `live`."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.parse
from pathlib import Path

import pytest
from harness import Server, until, write_function

CODE = "VERSION = {}\n\ndef handler(event, context):\n    return VERSION\n"


@pytest.fixture
def staged(server: Server, tmp_path: Path, name: str) -> str:
    """A function whose `live` is version 1 and whose `staging` is version 2."""
    server.deploy(write_function(tmp_path, name, CODE.format(1)))
    server.deploy(write_function(tmp_path, name, CODE.format(2)), "--alias", "staging")
    return name


def version_of(server: Server, run: str) -> int:
    """The version that a run ended in."""
    record = server.http.get(f"/api/v1/runs/{run}?wait=30s").expect(200).json()
    assert record["state"] == "succeeded", record
    return int(record["version"])


def add(server: Server, function: str, kind: str, *options: str) -> dict[str, str]:
    """Adds a trigger of an alias by hand."""
    made = server.cli("triggers", "add", function, kind, *options, "-o", "json").ok().json()
    assert made["trigger"]["origin"] == "api"
    return dict(made["trigger"]) | {"secret": made.get("secret", "")}


def leading_to(parent: Path, name: str, target: str) -> Path:
    """A function that sends its runs on."""
    folder = write_function(parent, name, CODE.format(0))
    with (folder / "faas.toml").open("a", encoding="utf-8") as file:
        file.write(f'background.on_success = "{target}"\n')
    return folder


def test_each_kind_of_trigger_can_follow_an_alias(server: Server, staged: str) -> None:
    topic = f"{staged}-topic"
    for alias, version in (("staging", 2), ("live", 1)):
        flags = ["--alias", alias]
        add(server, staged, "cron", "--schedule", "@yearly", "--name", f"yearly-{alias}", *flags)
        add(server, staged, "event", "--event-type", f"{staged}.{alias}", *flags)
        add(server, staged, "queue", "--topic", f"{topic}-{alias}", *flags)
        hook = add(server, staged, "webhook", "--scheme", "github", *flags)
        assert hook["alias"] == alias

        fired = server.cli("triggers", "test", staged, f"yearly-{alias}").ok().stdout.strip()
        assert version_of(server, fired) == version
        event = json.dumps({"specversion": "1.0", "id": "1", "source": "/t", "type": f"{staged}.{alias}"})
        made = server.cli("events", "publish", event, "-o", "json").ok().json()["runs"]
        assert [version_of(server, run["run_id"]) for run in made] == [version]
        server.cli("topics", "send", f"{topic}-{alias}", "-d", "1").ok()
        queued = f"?function={staged}&trigger=queue&version={version}"
        until(lambda queued=queued: server.api.runs(queued), f"the message came to version {version}")
        body = b"{}"
        signature = "sha256=" + hmac.new(hook["secret"].encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": signature, "X-GitHub-Delivery": alias, "X-GitHub-Event": "push"}
        path = urllib.parse.urlsplit(hook["url"]).path
        reply = server.http.request("POST", path, body, headers=headers, key=None).expect(202)
        assert version_of(server, reply.json()["run_id"]) == version
    listed = server.cli("triggers", "list", staged).ok().stdout
    assert "ALIAS" in listed
    assert "staging" in listed


def test_an_alias_moves_with_its_triggers(server: Server, staged: str) -> None:
    add(server, staged, "cron", "--schedule", "@yearly", "--name", "yearly", "--alias", "staging")
    server.cli("alias", "set", staged, "staging", "1").ok()
    assert version_of(server, server.cli("triggers", "test", staged, "yearly").ok().stdout.strip()) == 1


def test_an_alias_that_a_trigger_needs_stays(server: Server, staged: str) -> None:
    unknown = server.cli("triggers", "add", staged, "cron", "--schedule", "@daily", "--alias", "nope").exits(4)
    assert "no alias `nope`" in unknown.stderr
    bad = server.http.post(
        f"/api/v1/functions/{staged}/triggers",
        {"trigger": {"type": "cron", "schedule": "@daily"}, "alias": "A B"},
    )
    assert "alias:" in bad.expect(422).json()["detail"]
    add(server, staged, "cron", "--schedule", "@daily", "--name", "daily", "--alias", "staging")
    refused = server.cli("alias", "remove", staged, "staging", "--yes").exits(6)
    assert f"calls `{staged}:staging`" in refused.stderr
    assert f"faas triggers delete {staged} daily" in refused.stderr
    server.cli("triggers", "remove", staged, "daily", "--yes").ok()
    server.cli("alias", "remove", staged, "staging", "--yes").ok()


def test_a_destination_can_be_an_alias(server: Server, tmp_path: Path, staged: str) -> None:
    first = f"{staged}-first"
    server.deploy(leading_to(tmp_path, first, f"{staged}:staging"))
    run = server.http.post(f"/async/{first}", {}).expect(202).json()["run_id"]
    record = server.http.get(f"/api/v1/runs/{run}?wait=30s").expect(200).json()
    assert record["destination"]["function"] == f"{staged}:staging"
    assert version_of(server, record["destination"]["run_id"]) == 2
    for target, why in ((f"{staged}:2", "set an alias on it"), (f"{staged}:none", "no alias `none`")):
        folder = leading_to(tmp_path, f"{first}-bad", target)
        assert why in server.cli("deploy", folder).exits(5).stderr
