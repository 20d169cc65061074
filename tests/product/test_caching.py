"""Answers that are kept: what is sent again, to whom, and what never is."""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import quote

import pytest
from harness import Reply, Server, write_function

# Answers with how often this instance ran, and with the headers that the query asks for.
CODE = """
import json
import time

runs = 0


def handler(event, context):
    global runs
    runs += 1
    time.sleep(float(context.request.query.get("sleep", 0)))
    headers = {"content-type": "application/json", **json.loads(context.request.query.get("headers", "{}"))}
    if headers.get("etag") and context.request.headers.get("if-none-match") == headers["etag"]:
        return {"status": 304, "headers": headers, "body": ""}
    return {"status": 200, "headers": headers, "body": json.dumps({"runs": runs})}
"""
KEPT = '[cache]\nttl = "60s"\n'


def deploy(server: Server, tmp_path: Path, name: str, cache: str = KEPT, auth: str = "public") -> str:
    folder = write_function(tmp_path, name, CODE, auth=auth, scaling={"max": 1})
    manifest = folder / "faas.toml"
    manifest.write_text(manifest.read_text(encoding="utf-8") + cache, encoding="utf-8")
    server.deploy(folder)
    return name


def get(server: Server, name: str, answer: str = "", *, key: str | None = None, sleep: float = 0, **sent: str) -> Reply:
    """Asks for an answer with these headers, as JSON text."""
    query = f"?headers={quote(answer or '{}')}&sleep={sleep}"
    headers = {name.replace("_", "-"): value for name, value in sent.items()}
    return server.http.get(f"/fn/{name}/{query}", key=key, headers=headers)


def runs(reply: Reply) -> int:
    return int(reply.expect(200).json()["runs"])


@pytest.fixture
def kept(server: Server, tmp_path: Path, name: str) -> str:
    return deploy(server, tmp_path, name)


def test_a_kept_answer_is_sent_again_without_a_run(server: Server, kept: str) -> None:
    first, second = get(server, kept), get(server, kept)
    assert (runs(first), runs(second)) == (1, 1)
    assert first.headers["cache-status"] == "faas; fwd=uri-miss; stored"
    assert second.headers["cache-status"].startswith("faas; hit; ttl=")
    assert "x-run-id" in first.headers and "x-run-id" not in second.headers
    assert "server-timing" not in second.headers and "age" in second.headers
    assert "cache-control" not in second.headers, "the manifest's lifetime is nobody else's"
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert len(server.api.runs(f"?function={kept}&limit=10")) <= 1
    told = server.http.get("/metrics").expect(200).body.decode()
    assert f'faas_cache_requests_total{{function="{kept}",outcome="hit"}} 1' in told


def test_without_the_table_nothing_is_kept(server: Server, tmp_path: Path, name: str) -> None:
    deploy(server, tmp_path, name, cache="")
    public = '{"cache-control": "public, max-age=60"}'
    replies = [get(server, name, public), get(server, name, public)]
    assert [runs(reply) for reply in replies] == [1, 2]
    assert "cache-status" not in replies[1].headers


@pytest.mark.parametrize(
    "answer",
    [
        '{"cache-control": "no-store"}',
        '{"cache-control": "private, max-age=60"}',
        '{"cache-control": "max-age=0"}',
        '{"cache-control": "public, max-age=60", "set-cookie": "a=b"}',
        '{"cache-control": "max-age=60", "vary": "*"}',
    ],
)
def test_what_may_not_be_kept_is_not(server: Server, kept: str, answer: str) -> None:
    assert [runs(get(server, kept, answer)) for _ in range(3)] == [1, 2, 3]


def test_failures_are_not_kept(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, "def handler(event):\n    raise ValueError('no')\n", auth="public")
    manifest = folder / "faas.toml"
    manifest.write_text(manifest.read_text(encoding="utf-8") + KEPT, encoding="utf-8")
    server.deploy(folder)
    ids = {server.http.get(f"/fn/{name}", key=None).expect(502).headers["x-run-id"] for _ in range(3)}
    assert len(ids) == 3


def test_each_variant_is_kept_for_itself(server: Server, kept: str) -> None:
    answer = '{"vary": "accept-language"}'
    assert runs(get(server, kept, answer, accept_language="de")) == 1
    assert runs(get(server, kept, answer, accept_language="fr")) == 2
    assert runs(get(server, kept, answer, accept_language="de")) == 1
    assert runs(get(server, kept, answer, accept_language="fr")) == 2


def test_query_and_path_and_host_are_told_apart(server: Server, kept: str) -> None:
    assert runs(get(server, kept)) == 1
    assert runs(get(server, kept, '{"a": "b"}')) == 2
    assert runs(get(server, kept, Host="other.example")) == 3


def test_conditional_requests_are_answered_from_what_is_kept(server: Server, kept: str) -> None:
    answer = '{"etag": "\\"v1\\"", "cache-control": "max-age=60"}'
    assert runs(get(server, kept, answer)) == 1
    known = get(server, kept, answer, If_None_Match='W/"v1", "other"').expect(304)
    assert known.body == b"" and known.headers["etag"] == '"v1"'
    assert runs(get(server, kept, answer, If_None_Match='"v0"')) == 1


def test_a_stale_answer_is_asked_about(server: Server, kept: str) -> None:
    answer = '{"etag": "\\"v1\\"", "cache-control": "max-age=1"}'
    assert runs(get(server, kept, answer)) == 1
    # The request refuses what is older than now, so no time has to pass.
    renewed = get(server, kept, answer, Cache_Control="no-cache")
    assert runs(renewed) == 1, "the body is the kept one"
    assert renewed.headers["cache-status"] == "faas; hit; fwd=stale; fwd-status=304"


def test_head_is_answered_without_a_body(server: Server, kept: str) -> None:
    whole = get(server, kept)
    assert runs(whole) == 1
    head = server.http.request("HEAD", f"/fn/{kept}/?headers=%7B%7D&sleep=0", key=None).expect(200)
    assert head.body == b"" and head.headers["content-length"] == str(len(whole.body))


def test_other_methods_pass_and_forget(server: Server, kept: str) -> None:
    assert runs(get(server, kept)) == 1
    path = f"/fn/{kept}/?headers=%7B%7D&sleep=0"
    posted = server.http.post(path, {}, key=None)
    assert runs(posted) == 2 and posted.headers["cache-status"] == "faas; fwd=method"
    assert runs(get(server, kept)) == 3


def test_a_hundred_at_once_make_one_run(server: Server, kept: str) -> None:
    get(server, kept, '{"x-warm": "up"}').expect(200)
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(runs(get(server, kept, sleep=0.5)))) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [2] * 100


def test_deployments_vars_and_purges_make_new_answers(server: Server, tmp_path: Path, kept: str) -> None:
    ids = [get(server, kept).expect(200).headers["x-run-id"]]
    server.cli("vars", "set", kept, "A=1").ok()
    ids.append(get(server, kept).expect(200).headers["x-run-id"])
    deploy(server, tmp_path / "again", kept, cache='[cache]\nttl = "50s"\n')
    ids.append(get(server, kept).expect(200).headers["x-run-id"])
    assert "x-run-id" not in get(server, kept).headers
    assert server.cli("cache", "purge", kept, "-o", "json").ok().json()["purged"] >= 1
    ids.append(get(server, kept).expect(200).headers["x-run-id"])
    assert len(set(ids)) == 4


def test_private_answers_stay_with_their_key(server: Server, tmp_path: Path, name: str) -> None:
    deploy(server, tmp_path, name, auth="private")
    keys = [server.api.create_key(f"{name}-{n}", ["invoke"])["key"] for n in range(2)]
    assert [runs(get(server, name, key=key)) for key in keys] == [1, 2], "not said to be for others"
    public = '{"cache-control": "public, max-age=60"}'
    assert [runs(get(server, name, public, key=key)) for key in keys] == [3, 3]
    get(server, name, public, key=None).expect(401)
    get(server, name, public, key="faas_" + "A" * 49).expect(401)


def test_a_project_may_share(server: Server, tmp_path: Path, name: str) -> None:
    deploy(server, tmp_path, name, cache=KEPT + 'share = "project"\n', auth="private")
    keys = [server.api.create_key(f"{name}-{n}", ["invoke"])["key"] for n in range(2)]
    assert [runs(get(server, name, key=key)) for key in keys] == [1, 1]
    get(server, name, key=None).expect(401)


def test_cookies_and_credentials_of_the_function_keep_answers_apart(server: Server, kept: str) -> None:
    assert [runs(get(server, kept, Cookie=f"sid={n}")) for n in range(2)] == [1, 2]
    assert [runs(get(server, kept, Authorization=f"Bearer eyJ{n}")) for n in range(2)] == [3, 4]
    assert runs(get(server, kept)) == 5, "nothing personal was kept"
    assert runs(get(server, kept, Cookie="sid=1")) == 6, "what was kept for strangers is not for this one"


def test_memory_is_bounded(tmp_path: Path, name: str) -> None:
    code = "def handler(event, context):\n    return bytes(200_000)\n"
    with Server(env={"FAAS_CACHE_MEMORY": "4MB"}) as server:
        folder = write_function(tmp_path, name, code, auth="public")
        manifest = folder / "faas.toml"
        manifest.write_text(manifest.read_text(encoding="utf-8") + KEPT, encoding="utf-8")
        server.deploy(folder)
        for number in range(100):
            server.http.get(f"/fn/{name}/{number}", key=None).expect(200)
        told = server.http.get("/metrics").expect(200).body.decode()
        kept = next(line for line in told.splitlines() if line.startswith("faas_cache_bytes"))
        assert 0 < int(kept.split()[1]) <= 4 << 20


def test_one_caller_with_a_cookie_does_not_empty_the_cache(server: Server, kept: str) -> None:
    assert runs(get(server, kept)) == 1
    for personal in ({"Cookie": "a=b"}, {"Authorization": "Bearer nonsense"}):
        get(server, kept, **personal).expect(200)
        again = get(server, kept)
        assert runs(again) == 1 and again.headers["cache-status"].startswith("faas; hit")


def test_what_a_proxy_might_say_poisons_nothing(server: Server, kept: str) -> None:
    """What a caller says of host and path reaches no function; what it says of the method passes the cache by."""
    assert runs(get(server, kept, X_Forwarded_Host="evil.example", X_Original_URL="/admin")) == 1
    assert runs(get(server, kept)) == 1
    overridden = get(server, kept, X_HTTP_Method_Override="DELETE")
    assert runs(overridden) == 2 and overridden.headers["cache-status"] == "faas; fwd=bypass"
    assert runs(get(server, kept)) == 1
