"""Functions publish events and send messages from inside their sandbox: in their own name, once, and not for ever."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server, until, write_function

# Does what it is told and answers with what came of it.
SYNC = """
import faas

def handler(event, context):
    done = []
    for what, arguments, named in event:
        try:
            done.append(getattr(faas, what)(*arguments, **named))
        except faas.PublishError as error:
            done.append([error.code, str(error)])
    return done
"""
ASYNC = SYNC.replace("def handler", "async def handler").replace(
    "getattr(faas, what)", "await getattr(faas, f'{what}_async')"
)
ASGI = """
import json
import faas

async def do(what, arguments, named):
    try:
        return await getattr(faas, f"{what}_async")(*arguments, **named)
    except faas.PublishError as error:
        return [error.code, str(error)]

async def handler(scope, receive, send):
    assert scope["type"] == "http"
    body = b""
    more = True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    done = [await do(*one) for one in json.loads(body)]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(done).encode()})
"""
NODE = """
export async function handler(event) {
  const done = [];
  for (const [what, args, named] of event) {
    try {
      done.push(await faas[what](...args, named));
    } catch (error) {
      if (!(error instanceof faas.PublishError)) throw error;
      done.push([error.code, error.message]);
    }
  }
  return done;
}
"""
FETCH = """
export default { fetch: async (request) => Response.json(await handler(await request.json())) };
"""
# Asks for everything at once.
EAGER = """
import asyncio
import faas

async def handler(event, context):
    asked = [faas.publish_async(event["type"], n) for n in range(event["times"])]
    told = await asyncio.gather(*asked, return_exceptions=True)
    return [one if isinstance(one, str) else one.code for one in told]
"""
EAGER_NODE = """
export async function handler({ type, times }) {
  const asked = Array.from({ length: times }, (_, n) => faas.publish(type, n));
  return (await Promise.allSettled(asked)).map(({ value, reason }) => value ?? reason.code);
}
"""
ECHO = """
def handler(event, context):
    return {"headers": dict(context.request.headers), "got": event}
"""
# Publishes or sends again whatever it gets.
LOOP = """
import faas

def handler(event, context):
    return faas.WHAT("TARGET", {"n": 1})
"""
DYING = """
import os, signal
import faas

def handler(event, context):
    faas.publish(event["type"], {"last": "words"}, id=event["id"])
    faas.send(event["type"].replace(".", "-"), {"last": "words"})
    os.kill(os.getpid(), signal.SIGKILL)
"""
HELD = """
import faas

def handler(event, context):
    return [faas.publish(event["type"], n) for n in range(20)]
"""
# Frames of a stream of our own making, which name somebody else.
FORGED = """
import json, os, struct, time

def handler(event, context):
    head = {"kind": "message", "topic": event["topic"], "project": event["project"], "function": "other"}
    head = json.dumps(head).encode()
    payload = struct.pack("<I", len(head)) + head + b'"forged"'
    os.write(3, struct.pack("<IBBHI", len(payload), 0x8A, 0, 0, event["stream"]) + payload)
    time.sleep(0.3)
    return "done"
"""
ONCE = "\n[background.retry]\nmax_attempts = 1\n"
PUBLISHERS = ["publishes", "publishes-async", "publishes-asgi", "publishes-node", "publishes-fetch"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    source = tmp_path_factory.mktemp("functions")
    with Server() as running:
        node = {"runtime": "node", "entrypoint": "main:handler"}
        for name, code in zip(PUBLISHERS, (SYNC, ASYNC, ASGI), strict=False):
            running.deploy(write_function(source, name, code))
        running.deploy(write_function(source, "publishes-node", {"main.mjs": NODE}, **node))
        running.deploy(
            write_function(
                source, "publishes-fetch", {"main.mjs": NODE + FETCH}, runtime="node", entrypoint="main:default"
            )
        )
        running.deploy(write_function(source, "eager", EAGER))
        running.deploy(write_function(source, "eager-node", {"main.mjs": EAGER_NODE}, **node))
        running.deploy(write_function(source, "echo", ECHO))
        yield running


@pytest.fixture
def kind() -> str:
    """A type of event, and as a topic's name, that nobody else uses."""
    return f"t-{uuid.uuid4().hex}"


def deploy(server: Server, parent: Path, name: str, code: str) -> None:
    folder = write_function(parent, name, code)
    with (folder / "faas.toml").open("a", encoding="utf-8") as file:
        file.write(ONCE)
    server.deploy(folder)


def listen(server: Server, function: str, **trigger: Any) -> str:
    """Adds a trigger; its name."""
    trigger = {"name": f"on-{uuid.uuid4().hex[:20]}"} | trigger
    added = server.http.post(f"/api/v1/functions/{function}/triggers", {"trigger": trigger}).expect(201).json()
    return added["trigger"]["name"]


def runs_of(server: Server, trigger: str) -> list[dict[str, Any]]:
    return [run for run in server.api.runs("?limit=200") if run.get("trigger_name") == trigger]


def ended(server: Server, trigger: str, count: int) -> list[dict[str, Any]]:
    """So many runs of a trigger at their end, and no more."""

    def all_ended() -> list[dict[str, Any]] | None:
        runs = runs_of(server, trigger)
        return runs if len(runs) >= count and all(run["finished_at"] for run in runs) else None

    runs = until(all_ended, f"{trigger} has {count} ended runs", within=30)
    assert len(runs) == count
    return runs


def do(server: Server, function: str, *acts: Any) -> list[Any]:
    return server.api.call(function, list(acts)).expect(200).json()


@pytest.mark.parametrize("function", PUBLISHERS)
def test_an_event_makes_a_run_of_each_listener_once(server: Server, kind: str, function: str) -> None:
    trigger = listen(server, "echo", type="event", types=[kind])
    plain, named, again = do(
        server,
        function,
        ["publish", [kind, {"n": 1, "s": "ünï"}], {}],
        ["publish", [kind, None], {"id": "mine", "source": "/shop", "subject": "söme thing"}],
        ["publish", [kind, None], {"id": "mine", "source": "/shop"}],
    )
    assert plain.startswith("evt_") and named == again == "mine"
    runs = ended(server, trigger, 2)
    got = {run["result"]["headers"]["ce-id"]: run["result"] for run in runs}
    first, second = got[plain], got["mine"]
    wanted = {"ce-type": kind, "ce-source": f"/functions/{function}", "ce-specversion": "1.0", "ce-faasdepth": "2"}
    assert wanted.items() <= first["headers"].items() and first["headers"]["ce-time"].endswith("Z")
    assert (first["got"], first["headers"]["content-type"]) == ({"n": 1, "s": "ünï"}, "application/json")
    assert {"ce-source": "/shop", "ce-subject": "s%C3%B6me%20thing"}.items() <= second["headers"].items()
    assert (second["got"], "content-type" in second["headers"]) == ({}, False)


@pytest.mark.parametrize("function", PUBLISHERS)
def test_a_message_reaches_a_queue_trigger(server: Server, kind: str, function: str) -> None:
    trigger = listen(server, "echo", type="queue", topic=kind)
    act = ["send", [kind, {"order": 7}], {"attributes": {"tenant": "a"}}]
    [sent] = do(server, function, act)
    [run] = ended(server, trigger, 1)
    [message] = run["result"]["got"]["messages"]
    assert (message["id"], message["body"], message["attributes"]) == (sent, {"order": 7}, {"tenant": "a"})


@pytest.mark.parametrize("function", PUBLISHERS)
def test_what_is_refused_says_why_and_the_function_goes_on(server: Server, kind: str, function: str) -> None:
    acts = [
        (["publish", [None, 1], {}], "FN_012", "`type`"),
        (["publish", ["", 1], {}], "FN_012", "`type`"),
        (["publish", [7, 1], {}], "FN_012", "`type`"),
        (["publish", [kind, 1], {"source": "a b"}], "FN_012", "`source`"),
        (["publish", [kind, 1], {"subject": "\ud800"}], "FN_012", "`subject`"),
        (["publish", [kind, "x" * (1 << 20)], {}], "FN_011", "1 MB"),
        (["send", ["Not A Topic", 1], {}], "FN_012", "Not A Topic"),
        (["send", [kind, 1], {"attributes": {"A": "x"}}], "FN_012", "`A`"),
        (["send", [kind, "x" * (300 << 10)], {}], "FN_011", "256 KB"),
    ]
    told = do(server, function, *(act for act, _, _ in acts), ["publish", [kind, "last"], {}])
    for (act, code, word), answer in zip(acts, told, strict=False):
        assert isinstance(answer, list) and answer[0] == code and word in answer[1], (str(act)[:80], answer)
    assert told[-1].startswith("evt_")


@pytest.mark.parametrize("function", ["publishes", "publishes-node"])
def test_a_run_publishes_a_hundred_times(server: Server, kind: str, function: str) -> None:
    told = do(server, function, *[["publish", [kind, n], {}] for n in range(102)])
    assert all(isinstance(one, str) for one in told[:100])
    assert [one[0] for one in told[100:]] == ["FN_007", "FN_007"] and "at most 100" in told[100][1]
    # The next run begins anew.
    assert isinstance(do(server, function, ["publish", [kind, 0], {}])[0], str)


@pytest.mark.parametrize("function", ["eager", "eager-node"])
def test_publications_of_a_run_wait_for_each_other(server: Server, kind: str, function: str) -> None:
    trigger = listen(server, "echo", type="event", types=[kind])
    told = server.api.call(function, {"type": kind, "times": 104}).expect(200).json()
    assert [one for one in told if one.startswith("FN_")] == ["FN_007"] * 4 and len(set(told[:100])) == 100
    assert sorted(run["result"]["got"] for run in ended(server, trigger, 100)) == list(range(100))


def test_functions_that_publish_to_each_other_come_to_an_end(server: Server, kind: str, tmp_path: Path) -> None:
    ping, pong = f"ping-{kind[-20:]}", f"pong-{kind[-20:]}"
    deploy(server, tmp_path, ping, LOOP.replace("WHAT", "publish").replace("TARGET", f"{kind}.pong"))
    deploy(server, tmp_path, pong, LOOP.replace("WHAT", "publish").replace("TARGET", f"{kind}.ping"))
    to_ping = listen(server, ping, type="event", types=[f"{kind}.ping"])
    to_pong = listen(server, pong, type="event", types=[f"{kind}.pong"])
    server.api.call(ping, {}).expect(200)
    runs = ended(server, to_pong, 8) + ended(server, to_ping, 8)
    [failed] = [run for run in runs if run["state"] != "succeeded"]
    assert (failed["state"], failed["function"], failed["error"]["code"]) == ("failed", ping, "FN_004")
    assert failed["error"]["type"] == "PublishError" and "16 runs led to this one" in failed["error"]["message"]
    assert failed["error"]["file"] == "main.py", "the user's own line"


def test_a_function_that_sends_to_its_own_topic_comes_to_an_end(server: Server, kind: str, tmp_path: Path) -> None:
    name = f"self-{kind[-20:]}"
    deploy(server, tmp_path, name, LOOP.replace("WHAT", "send").replace("TARGET", kind))
    trigger = listen(server, name, type="queue", topic=kind)
    server.api.call(name, {}).expect(200)
    runs = ended(server, trigger, 16)
    [failed] = [run for run in runs if run["state"] != "succeeded"]
    assert "16 runs led to this one" in failed["error"]["message"]


def test_what_was_answered_is_kept_when_the_function_dies(server: Server, kind: str, tmp_path: Path) -> None:
    name = f"dying-{kind[-20:]}"
    server.deploy(write_function(tmp_path, name, DYING))
    listener = listen(server, "echo", type="event", types=[kind])
    subscriber = listen(server, "echo", type="queue", topic=kind)
    assert server.api.call(name, {"type": kind, "id": "one"}).status == 502
    [run], [batch] = ended(server, listener, 1), ended(server, subscriber, 1)
    assert (run["result"]["headers"]["ce-id"], run["result"]["got"]) == ("one", {"last": "words"})
    assert batch["result"]["got"]["messages"][0]["body"] == {"last": "words"}


def test_what_was_answered_is_kept_when_the_server_dies(kind: str, tmp_path: Path) -> None:
    with Server() as server:
        for name, code in (("held", HELD), ("echo", ECHO)):
            server.deploy(write_function(tmp_path, name, code))
        trigger = listen(server, "echo", type="event", types=[kind])
        ids = server.api.call("held", {"type": kind}).expect(200).json()
        server.kill()
        server.start()
        runs = ended(server, trigger, 20)
        assert sorted(run["result"]["headers"]["ce-id"] for run in runs) == sorted(ids)


def test_a_forged_frame_speaks_for_nobody_else(server: Server, kind: str, tmp_path: Path) -> None:
    """The run's own stream is its own, whatever the frame says; another stream ends the instance."""
    name = f"forger-{kind[-20:]}"
    server.deploy(write_function(tmp_path, name, FORGED))
    other = "prj_00000000000000000000000000"
    forged = {"topic": kind, "project": other, "stream": 1}
    server.api.call(name, forged).expect(200)
    assert server.http.get(f"/api/v1/topics/{kind}").expect(200).json()["depth"] == 1, "a message of its own project"
    lost = server.api.call(name, {**forged, "stream": 77}).expect(502).json()
    assert lost["code"] == "FN_004"
    assert server.http.get(f"/api/v1/topics/{kind}").expect(200).json()["depth"] == 1


def test_nothing_is_published_outside_a_call(server: Server, kind: str, tmp_path: Path) -> None:
    code = """
import faas

told = None
try:
    faas.publish("TYPE")
except faas.PublishError as error:
    told = [error.code, str(error)]

def handler(event, context):
    return told
""".replace("TYPE", kind)
    name = f"early-{kind[-20:]}"
    server.deploy(write_function(tmp_path, name, code))
    assert server.api.call(name, {}).expect(200).json()[0] == "FN_012"


def test_a_module_of_the_same_name_stays_the_functions_own(server: Server, kind: str, tmp_path: Path) -> None:
    name = f"own-{kind[-20:]}"
    files = {"main.py": "import faas\n\ndef handler(event, context):\n    return faas.MINE\n", "faas.py": "MINE = 7\n"}
    server.deploy(write_function(tmp_path, name, files))
    assert server.api.call(name, {}).expect(200).json() == 7


def test_threads_of_a_handler_publish_too(server: Server, kind: str, tmp_path: Path) -> None:
    body = """
    with ThreadPoolExecutor(4) as pool:
        return len(set(pool.map(lambda n: faas.publish("TYPE", n), range(20))))
"""
    head = "import asyncio\nimport faas\nfrom concurrent.futures import ThreadPoolExecutor\n"
    own = head + "\ndef handler(event, context):" + body
    off_loop = head + (
        "\nasync def handler(event, context):\n"
        '    told = await asyncio.gather(*[asyncio.to_thread(faas.publish, "TYPE", n) for n in range(20)])\n'
        "    try:\n        faas.publish('TYPE')\n    except faas.PublishError:\n        return len(set(told))\n"
    )
    for index, code in enumerate((own, off_loop)):
        name = f"threads-{index}-{kind[-20:]}"
        server.deploy(write_function(tmp_path, name, code.replace("TYPE", kind)))
        assert server.api.call(name, {}).expect(200).json() == 20
