"""Topics: what is sent reaches every subscriber in batches, what a batch leaves comes again, and what is too much is
refused."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Reply, Server, until, write_function

# Answers with what it got.
ECHO = """
def handler(event, context):
    said = [str(message.get("body")) for message in event["messages"]]
    return {"messages": event["messages"], "said": said, "headers": dict(context.request.headers)}
"""
# Leaves what is even until the second attempt, and "poison" for ever.
PICKY = """
def handler(event, context):
    messages = event["messages"]
    left = [m["id"] for m in messages if m["body"] == "poison" or (m["attempt"] == 1 and m["body"] % 2 == 0)]
    return {"SHAPE": left} if "SHAPE" == "failed" else {"SHAPE": [{"itemIdentifier": one} for one in left]}
"""
RETRY = {"max_attempts": 2, "backoff": "10ms"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    source = tmp_path_factory.mktemp("functions")
    with Server() as running:
        running.deploy(write_function(source, "echo", ECHO))
        running.deploy(write_function(source, "echo-too", ECHO))
        for shape, name in (("failed", "picky"), ("batchItemFailures", "picky-as-sqs")):
            running.deploy(write_function(source, name, PICKY.replace("SHAPE", shape)))
        yield running


@pytest.fixture
def topic() -> str:
    return f"t-{uuid.uuid4().hex}"


def subscribe(server: Server, function: str, topic: str, **more: Any) -> str:
    """Adds a queue trigger; its name."""
    trigger = {"type": "queue", "name": f"q-{uuid.uuid4().hex[:20]}", "topic": topic} | more
    added = server.http.post(f"/api/v1/functions/{function}/triggers", {"trigger": trigger}).expect(201).json()
    return added["trigger"]["name"]


def send(server: Server, topic: str, body: bytes | str, **headers: str) -> str:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    reply = server.http.request("POST", f"/api/v1/topics/{topic}/messages", body, headers=sent).expect(202).json()
    assert reply["topic"] == topic and len(reply["ids"]) == 1
    return reply["ids"][0]


def send_all(server: Server, topic: str, bodies: list[Any]) -> list[str]:
    return server.api.send_messages(topic, [{"body": body} for body in bodies]).expect(202).json()["ids"]


def runs_of(server: Server, trigger: str) -> list[dict[str, Any]]:
    """The runs of a trigger, oldest first; those of one millisecond in any order."""
    runs = server.api.runs("?trigger=queue&limit=200")
    return [run for run in reversed(runs) if run.get("trigger_name") == trigger]


def ended(server: Server, trigger: str, count: int) -> list[dict[str, Any]]:
    """So many runs of a trigger at their end."""

    def all_ended() -> list[dict[str, Any]] | None:
        runs = runs_of(server, trigger)
        return runs if len(runs) >= count and all(run["finished_at"] for run in runs) else None

    runs = until(all_ended, f"{trigger} has {count} ended runs")
    assert len(runs) == count
    return runs


def state(server: Server, topic: str) -> dict[str, Any]:
    return server.http.get(f"/api/v1/topics/{topic}").expect(200).json()


def test_a_message_arrives_as_it_was_sent(server: Server, topic: str) -> None:
    trigger = subscribe(server, "echo", topic, path="/in")
    sent = [
        send(server, topic, '{"order": 12345678901234567890123, "s": "ünï"}', content_type="application/json"),
        send(server, topic, "a=1", content_type="text/plain", X_Attribute_Tenant="a b", X_Attribute_n="7"),
        send(server, topic, b"\x00\xff", content_type="application/pdf"),
        send(server, topic, b""),
    ]
    got: list[dict[str, Any]] = []

    def arrived() -> bool:
        got.clear()
        runs = [run for run in runs_of(server, trigger) if run["state"] == "succeeded"]
        got.extend(message for run in runs for message in run["result"]["messages"])
        return len(got) == len(sent)

    until(arrived, "all messages arrived")
    got.sort(key=lambda message: sent.index(message["id"]))
    assert [message["id"] for message in got] == sent
    first, second, third, last = got
    # Results are kept as numbers of 64 bits; what the function saw was whole.
    said = [text for run in runs_of(server, trigger) for text in run["result"]["said"]]
    assert "{'order': 12345678901234567890123, 's': 'ünï'}" in said and first["body"]["s"] == "ünï"
    assert (second["body"], second["content_type"]) == ("a=1", "text/plain")
    assert second["attributes"] == {"tenant": "a b", "n": "7"}
    assert base64.b64decode(third["body_base64"]) == b"\x00\xff" and "body" not in third
    assert (last["body"], last["attributes"], last["attempt"]) == (None, {}, 1)
    assert all(message["published_at"].endswith("Z") for message in got)
    [run, *_] = runs_of(server, trigger)
    headers = run["result"]["headers"]
    assert (headers["x-faas-trigger"], headers["x-faas-trigger-name"], headers["x-faas-topic"]) == (
        "queue",
        trigger,
        topic,
    )
    assert server.api.run(run["id"]).json()["batch"]["left"] == 0


def test_every_subscriber_gets_every_message_in_batches(server: Server, topic: str) -> None:
    # Nobody subscribes yet: they wait.
    ids = send_all(server, topic, list(range(25)))
    waits = state(server, topic)
    assert (waits["depth"], waits["subscribers"]) == (25, []) and waits["oldest_age_s"] < 60
    first = subscribe(server, "echo", topic, batch_size=10)
    runs = sorted(ended(server, first, 3), key=lambda run: ids.index(run["result"]["messages"][0]["id"]))
    assert [len(run["result"]["messages"]) for run in runs] == [10, 10, 5]
    assert [message["id"] for run in runs for message in run["result"]["messages"]] == ids
    # Another one gets what is sent from now on, as does the first.
    second = subscribe(server, "echo-too", topic, batch_size=1000)
    more = send_all(server, topic, ["a", "b"])
    for trigger, count in ((first, 4), (second, 1)):
        run = ended(server, trigger, count)[-1]
        assert [message["id"] for message in run["result"]["messages"]] == more
    until(lambda: state(server, topic)["depth"] == 0, "nothing waits")


def test_a_window_gathers_a_batch_and_a_full_one_does_not_wait(server: Server, topic: str) -> None:
    trigger = subscribe(server, "echo", topic, batch_size=4, batch_window="2s")
    sent = [send(server, topic, str(n)) for n in range(3)]
    assert runs_of(server, trigger) == [] and state(server, topic)["depth"] == 3
    [run] = ended(server, trigger, 1)
    assert [message["id"] for message in run["result"]["messages"]] == sent
    send_all(server, topic, [1, 2, 3, 4])
    took = ended(server, trigger, 2)[-1]
    assert len(took["result"]["messages"]) == 4
    first = took["result"]["messages"][0]["published_at"]
    assert took["created_at"][:17] == first[:17] and float(took["created_at"][17:-1]) - float(first[17:-1]) < 1.5


@pytest.mark.parametrize("function", ["picky", "picky-as-sqs"])
def test_what_a_batch_leaves_comes_again_alone(server: Server, topic: str, function: str) -> None:
    trigger = subscribe(server, function, topic, retry=RETRY)
    send_all(server, topic, [1, 2, 3, 4])
    [run] = ended(server, trigger, 1)
    assert (run["state"], len(run["attempts"]), run["batch"]) == ("succeeded", 2, {"messages": 4, "left": 0})
    assert "2 of 4 messages are not done" in run["attempts"][0]["message"]

    send_all(server, topic, [1, "poison", 3])
    dead = ended(server, trigger, 2)[-1]
    assert (dead["state"], dead["batch"]) == ("failed", {"messages": 3, "left": 1})
    assert "1 of 1 messages are not done" in dead["attempts"][-1]["message"]
    letter = server.http.get(f"/api/v1/dead-letters/{dead['id']}").expect(200).json()
    assert "attempts" in letter["reason"]
    assert [message["body"] for message in letter["input"]["json"]["messages"]] == ["poison"]
    # Tried again it is the only one, and is left again; then it is forgotten.
    redriven = server.http.post(f"/api/v1/dead-letters/{dead['id']}/redrive", {}).expect(202).json()["redriven"][0]
    again = server.api.finished(redriven["run_id"])
    assert (again["state"], again["batch"]) == ("failed", {"messages": 1, "left": 1})
    server.cli("dlq", "purge", redriven["run_id"], "--yes").ok()


@pytest.mark.parametrize("answer", ['{"failed": 3}', '{"failed": ["msg_unknown"]}', '{"batchItemFailures": ["x"]}'])
def test_a_wrong_answer_acknowledges_nothing(
    server: Server, topic: str, name: str, tmp_path: Path, answer: str
) -> None:
    server.deploy(write_function(tmp_path, name, f"def handler(event, context):\n    return {answer}\n"))
    trigger = subscribe(server, name, topic, retry={"max_attempts": 1})
    send_all(server, topic, [1, 2])
    [run] = ended(server, trigger, 1)
    assert (run["state"], run["batch"]) == ("failed", {"messages": 2, "left": 2})
    assert "the answer" in run["error"]["message"], run["error"]


def test_what_is_held_back_waits_in_the_topic(server: Server, topic: str) -> None:
    trigger = subscribe(server, "echo", topic)
    server.cli("triggers", "disable", "echo", trigger).ok()
    send_all(server, topic, [1, 2])
    shown = state(server, topic)
    [subscriber] = shown["subscribers"]
    assert subscriber == {"function": "echo", "trigger": trigger, "enabled": False, "waiting": 2}
    server.cli("triggers", "enable", "echo", trigger).ok()
    ended(server, trigger, 1)
    server.cli("triggers", "remove", "echo", trigger, "--yes").ok()
    until(lambda: server.http.get(f"/api/v1/topics/{topic}").status == 404, "the topic is gone with its subscriber")


def test_what_a_function_cannot_take_up_soon_waits_in_the_topic(
    server: Server, topic: str, name: str, tmp_path: Path
) -> None:
    server.deploy(write_function(tmp_path, name, ECHO, scaling={"max": 1}))
    trigger = subscribe(server, name, topic, batch_size=1)
    server.cli("fn", "pause", name).ok()
    send_all(server, topic, list(range(20)))
    until(lambda: state(server, topic)["depth"] == 18, "twice its places are under way")
    assert [run["state"] for run in runs_of(server, trigger)] == ["queued", "queued"]
    # A run that is cancelled makes room for the next, and ends its message with it.
    server.cli("runs", "cancel", runs_of(server, trigger)[0]["id"]).ok()
    until(lambda: state(server, topic)["depth"] == 17, "another one is under way")
    assert server.cli("topics", "purge", topic, "-o", "json", "--yes").ok().json()["purged"] == 17
    server.cli("fn", "resume", name).ok()
    assert [run["state"] for run in ended(server, trigger, 3)].count("succeeded") == 2


def test_manifests_bring_and_take_subscriptions(server: Server, topic: str, name: str, tmp_path: Path) -> None:
    folder = write_function(tmp_path, name, ECHO)
    plain = (folder / "faas.toml").read_text()
    wanted = f'\n[[triggers]]\ntype = "queue"\ntopic = "{topic}"\nbatch_window = "1s"\n'
    (folder / "faas.toml").write_text(plain + wanted)
    server.deploy(folder)
    # Sent once the deployment is there, it is not missed.
    send(server, topic, "1")
    until(lambda: [run for run in server.api.runs(f"?function={name}") if run["state"] == "succeeded"], "it ran")
    (folder / "faas.toml").write_text(plain)
    server.deploy(folder)
    until(lambda: server.http.get(f"/api/v1/topics/{topic}").status == 404, "nobody subscribes")


def refused(reply: Reply, status: int, code: str, word: str) -> None:
    problem = reply.expect(status).json()
    assert problem["code"] == code and word in problem["detail"], problem


def test_bounds_are_refused_by_name(server: Server, topic: str) -> None:
    http, path = server.http, f"/api/v1/topics/{topic}/messages"
    refused(http.request("POST", "/api/v1/topics/Orders/messages", "x"), 400, "FN_012", "topic name")
    refused(http.request("POST", path, b"x" * (256 * 1024 + 1)), 413, "FN_011", "")
    many = {f"x-attribute-a{n}": "1" for n in range(33)}
    refused(http.request("POST", path, "x", headers=many), 400, "FN_012", "attributes")
    refused(http.request("POST", path, "x", headers={"x-attribute-a": "x" * 1025}), 400, "FN_012", "`a`")
    refused(http.request("POST", path, "x", headers={"x-attribute-a.b": "x"}), 400, "FN_012", "`a.b`")
    refused(server.api.send_messages(topic, []), 400, "FN_012", "0 messages")
    refused(server.api.send_messages(topic, [{}] * 1001), 400, "FN_012", "1001 messages")
    both = [{"body": 1}, {"body": 1, "body_base64": "MQ=="}]
    refused(server.api.send_messages(topic, both), 400, "FN_012", "`messages[1]`")
    refused(server.api.send_messages(topic, [{"body_base64": "?"}]), 400, "FN_012", "`body_base64`")
    refused(server.api.send_messages(topic, [{"bdy": 1}]), 422, "FN_006", "bdy")
    assert http.get(f"/api/v1/topics/{topic}").status == 404, "something was kept"


def test_a_full_topic_takes_nothing_until_there_is_room(server: Server, topic: str) -> None:
    full = [{"body": n} for n in range(1000)]
    for _ in range(100):
        server.api.send_messages(topic, full).expect(202)
    reply = server.api.send_messages(topic, [{"body": 1}])
    refused(reply, 429, "FN_007", "wait already")
    assert int(reply.headers["retry-after"]) > 0
    assert state(server, topic)["depth"] == 100_000
    assert server.cli("topics", "purge", topic, "-o", "json", "--yes").ok().json() == {
        "topic": topic,
        "purged": 100_000,
    }
    send(server, topic, "1")
    server.cli("topics", "purge", topic, "--yes").ok()


def test_the_commands(server: Server, topic: str) -> None:
    cli = server.cli
    [one] = cli("topics", "send", topic, "-d", '{"n": 1}', "--attribute", "tenant=a", "-o", "json").ok().json()["ids"]
    assert one.startswith("msg_")
    batch = json.dumps([{"body": 1}, {"body": "x", "content_type": "text/plain", "attributes": {"a": "b"}}])
    assert len(cli("topics", "send", topic, "--batch", "-d", batch).ok().stdout.split()) == 2
    listed = {row["name"]: row["depth"] for row in cli("topics", "list", "-o", "json").ok().json()["items"]}
    assert listed[topic] == 3
    assert "3" in cli("topics", "get", topic).ok().stdout and topic in cli("topics", "list").ok().stdout
    added = cli(
        "triggers",
        "add",
        "echo",
        "queue",
        "--name",
        "by-hand",
        "--topic",
        topic,
        "--batch-size",
        "2",
        "--max-attempts",
        "1",
        "-o",
        "json",
    )
    trigger = added.ok().json()["trigger"]
    assert (trigger["settings"]["batch_size"], trigger["settings"]["retry"]["max_attempts"]) == (2, 1)
    runs = ended(server, trigger["name"], 2)
    messages = [message for run in runs for message in run["result"]["messages"]]
    told = [(message["body"], message["attributes"]) for message in messages]
    assert sorted(told, key=str) == sorted([({"n": 1}, {"tenant": "a"}), (1, {}), ("x", {"a": "b"})], key=str)
    assert cli("topics", "get", "nothing-here").code == 4
    tried = cli("triggers", "test", "echo", trigger["name"])
    assert tried.code != 0 and f"faas topics send {topic}" in tried.stderr


def test_topics_need_a_key_with_the_right_scope(server: Server, topic: str) -> None:
    path = f"/api/v1/topics/{topic}"
    server.http.request("POST", f"{path}/messages", "x", key=None).expect(401)
    caller = server.api.create_key("sends", ["invoke"])["key"]
    server.http.request("POST", f"{path}/messages", "x", key=caller).expect(202)
    server.http.request("GET", path, key=caller).expect(403)
    server.http.request("DELETE", f"{path}/messages", key=caller).expect(403)
    reader = server.api.create_key("looks", ["runs:read"])["key"]
    server.http.request("GET", path, key=reader).expect(200)
    server.http.request("POST", f"{path}/messages", "x", key=reader).expect(403)
    server.http.request("DELETE", f"{path}/messages").expect(200)
