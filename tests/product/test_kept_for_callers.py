"""What callers can make the server keep is bounded, and callers without a key leave room for others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Reply, Server, until, write_function

KB, MB = 1024, 1024 * 1024
READ = "def handler(event, context):\n    return {'bytes': len(context.request.body)}\n"
# Each run leaves a line, so that a second one is seen.
ANSWER = "def handler(event):\n    print('ran')\n    return 'a' * int(event['bytes'])\n"
OPTIONS = {
    "X-Run-Delay": "1h",
    "X-Run-Max-Age": "1h",
    "X-Run-Priority": "9",
    "X-Ordering-Key": "one",
    "X-Callback-Url": "https://example.com/",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = {
        "FAAS_BACKGROUND_WAITING_BYTES": "2MB",
        "FAAS_BACKGROUND_INPUT_BYTES": "1MB",
        "FAAS_IDEMPOTENCY_KEYS_MAX": "6",
        "FAAS_IDEMPOTENCY_ANSWER_BYTES": "200KB",
    }
    with Server(env=env) as running:
        deploy(running, tmp_path_factory.mktemp("functions"), "answers", ANSWER)
        yield running


def deploy(server: Server, parent: Path, name: str, code: str = READ, manifest: str = "") -> None:
    """Deploys a function that anybody may call."""
    folder = write_function(parent, name, code, auth="public")
    with (folder / "faas.toml").open("a", encoding="utf-8") as file:
        file.write(manifest)
    server.deploy(folder)


def hold(server: Server, name: str) -> None:
    """Lets the function's runs wait."""
    server.http.post(f"/api/v1/functions/{name}/pause").expect(200)


def send(server: Server, name: str, size: int = 0, *, key: str | None = None, **headers: str) -> Reply:
    """Has a call with so many bytes accepted; without a key unless there is one."""
    body = (name.encode() + bytes([size % 251])) * (size // (len(name) + 1) + 1)
    sent = {header.replace("_", "-"): value for header, value in headers.items()}
    return server.http.request("POST", f"/async/{name}", body[:size], headers=sent, key=key)


def refused(reply: Reply, status: int, code: str, *words: str) -> None:
    """A refusal that names the limit and says when to come back."""
    problem = reply.expect(status).json()
    assert problem["code"] == code
    for word in words:
        assert word in f"{problem['detail']} {problem.get('hint')}", problem
    assert status == 401 or int(reply.headers["retry-after"]) > 0


def stored(server: Server, size: int) -> int:
    """Stored bodies of so many bytes."""

    def length(file: Path) -> int:
        try:
            return file.stat().st_size if file.is_file() else -1
        except FileNotFoundError:
            # The server deletes them meanwhile.
            return -1

    return sum(1 for file in (server.data / "blobs").rglob("*") if length(file) == size + 16)


def test_bytes_that_wait_are_bounded_and_keys_keep_their_part(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "waits")
    hold(server, "waits")
    first = send(server, "waits", 600 * KB).expect(202)
    refused(send(server, "waits", 600 * KB), 429, "FN_007", "without a key", "background.keyless_percent")
    for _ in range(2):
        send(server, "waits", 600 * KB, key=server.key).expect(202)
    refused(send(server, "waits", 600 * KB, key=server.key), 429, "FN_007", "background.waiting_bytes")
    assert stored(server, 600 * KB) == 3, "what was refused left its body"
    held = server.metric("faas_background_waiting_bytes")
    assert 1_800 * KB <= held < 1_900 * KB

    server.kill()
    server.start()
    assert server.metric("faas_background_waiting_bytes") == held, "a kill changes what is counted"
    for caller in (None, server.key):
        refused(send(server, "waits", 600 * KB, key=caller), 429, "FN_007", "background.waiting_bytes")

    run = first.json()["run_id"]
    server.http.post(f"/api/v1/runs/{run}/cancel").expect(200)
    send(server, "waits", 600 * KB).expect(202)
    server.http.post("/api/v1/functions/waits/resume").expect(200)
    until(lambda: server.metric("faas_background_waiting_bytes") == 0, "all runs have ended")


def test_callers_without_a_key_have_a_part_of_the_backlog(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "counted", manifest="\n[background]\nbacklog_max = 4\n")
    hold(server, "counted")
    replies = [send(server, "counted") for _ in range(3)]
    assert [reply.status for reply in replies] == [202, 202, 429]
    refused(replies[2], 429, "FN_007", "without a key", "background.keyless_percent")
    reader = server.api.create_key("reader", ["runs:read"])["key"]
    refused(send(server, "counted", key=reader), 429, "FN_007", "without a key")
    replies = [send(server, "counted", key=server.key) for _ in range(3)]
    assert [reply.status for reply in replies] == [202, 202, 429]
    refused(replies[2], 429, "FN_007", "background.backlog_max")
    server.http.post("/api/v1/functions/counted/resume").expect(200)


def test_what_a_caller_wants_of_a_run_needs_a_key(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "plain")
    allowed = '\n[background]\nkeyless_options = ["delay", "max_age", "priority", "ordering_key", "callback"]\n'
    deploy(server, tmp_path, "open", manifest=allowed)
    for header, value in OPTIONS.items():
        wanted: Any = {header: value}
        refused(send(server, "plain", **wanted), 401, "FN_010", header.lower(), "background.keyless_options")
        send(server, "plain", key=server.key, **wanted).expect(202)
        send(server, "open", **wanted).expect(202)
    send(server, "plain").expect(202)


def test_inputs_of_ended_runs_make_room(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "keeps")
    size = 300 * KB
    runs = []
    for _ in range(6):
        run = send(server, "keeps", size).expect(202).json()["run_id"]
        runs.append(server.api.finished(run)["id"])
    until(lambda: stored(server, size) == 3, "three bodies of 300 KB are within 1 MB")
    kept = [server.http.get(f"/api/v1/runs/{run}/input").status for run in runs]
    assert kept == [404, 404, 404, 200, 200, 200]
    assert server.http.post(f"/api/v1/runs/{runs[0]}/replay").status == 404
    # Another replay would make room for its own input among these.
    again = server.http.post(f"/api/v1/runs/{runs[5]}/replay").expect(202).json()["run_id"]
    assert server.api.finished(again)["result"] == {"bytes": size}


def test_a_purged_dead_letter_takes_its_body_along(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "fails", "def handler(event):\n    raise ValueError('no')\n", RETRY_NEVER)
    size = 170 * KB
    run = send(server, "fails", size).expect(202).json()["run_id"]
    assert server.api.finished(run)["state"] == "failed"
    assert stored(server, size) == 1
    server.http.request("DELETE", f"/api/v1/dead-letters/{run}").expect(204)
    until(lambda: stored(server, size) == 0, "the body went")


RETRY_NEVER = "\n[background.retry]\nmax_attempts = 1\n"


def once(server: Server, name: str, key: str, size: int, caller: str | None = None) -> Reply:
    """A call with an idempotency key whose caller waits."""
    return server.http.post(f"/fn/{name}", {"bytes": size}, headers={"Idempotency-Key": key}, key=caller)


def test_answers_of_idempotency_keys_make_room_and_none_runs_twice(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "once", ANSWER)
    for key in ("a", "b", "c"):
        once(server, "once", key, 40 * KB).expect(200)
    # Callers without a key have 100 KB of the 200.
    gone = once(server, "once", "a", 40 * KB).expect(409).json()
    assert gone["code"] == "FN_014"
    assert "will not run again" in gone["detail"] and "idempotency.answer_bytes" in gone["hint"], gone
    for key in ("b", "c"):
        again = once(server, "once", key, 40 * KB).expect(200)
        assert again.headers["idempotency-replayed"] == "true" and len(again.body) == 40 * KB
    # Stored behind the answers: a kill may lose them.
    until(lambda: len(server.api.runs("?function=once")) == 3, "the runs are stored")
    server.kill()
    server.start()
    assert [once(server, "once", key, 40 * KB).status for key in ("a", "b", "c")] == [409, 200, 200]
    assert len(server.api.runs("?function=once")) == 3, "a repeated request ran again"


def test_one_answer_without_a_key_is_small(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "large", ANSWER)
    for caller, repeated in ((None, 409), (server.key, 200)):
        key = f"k-{repeated}"
        once(server, "large", key, 70 * KB, caller).expect(200)
        once(server, "large", key, 70 * KB, caller).expect(repeated)
    assert len(server.api.runs("?function=large")) == 2


def test_idempotency_keys_are_bounded_and_keys_keep_their_part(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "named", ANSWER)
    hold(server, "named")
    assert [once(server, "named", f"a-{n}", 1).status for n in range(4)] == [200, 200, 200, 429]
    refused(once(server, "named", "a-9", 1), 429, "FN_007", "idempotency.keys_max", "24 hours")
    refused(send(server, "named", Idempotency_Key="a-9"), 429, "FN_007", "idempotency.keys_max")
    assert once(server, "named", "a-0", 1).status == 200, "a held key is answered"
    assert [once(server, "named", f"k-{n}", 1, server.key).status for n in range(2)] == [200, 200]
    send(server, "named", key=server.key, Idempotency_Key="k-2").expect(202)
    refused(once(server, "named", "k-3", 1, server.key), 429, "FN_007", "idempotency.keys_max")
    server.kill()
    server.start()
    refused(once(server, "named", "k-3", 1, server.key), 429, "FN_007", "idempotency.keys_max")
    server.http.post("/api/v1/functions/named/resume").expect(200)
