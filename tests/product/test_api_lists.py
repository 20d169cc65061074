"""Lists of the API: one envelope, one page query, cursors that hold while rows are written and deleted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from harness import Server, until, write_function

from product.blobs import upload
from product.functions import ADD

ENVELOPE = {"items", "next_cursor", "total"}
TRIGGERS = """
[[triggers]]
type = "http"
[[triggers]]
type = "cron"
name = "tick"
schedule = "@hourly"
"""
TALKS = """
def handler(event):
    for n in range(event.get("lines", 1)):
        print(f"{event.get('word', 'kept')} {n}")
    if event.get("fail"):
        raise ValueError("as asked")
    return 1
"""


@pytest.fixture(scope="module")
def full(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One of each thing that has lists below it, by the word before it in a path."""
    folder = function_with(tmp_path_factory.mktemp("full"), "full", TRIGGERS)
    shared_server.deploy(folder)
    (folder / "lib").mkdir()
    (folder / "lib" / "words.py").write_text("WORD = 1\n")
    shared_server.cli("layers", "publish", "words", folder / "lib").ok()
    run = shared_server.api.invoke("full", {}).expect(200).headers["x-run-id"]
    shared_server.api.finished(run)
    member = {"manifest": {"name": "grouped"}, "files": upload(shared_server, {"main.py": TALKS})}
    wait = {"Prefer": "wait=60"}
    reply = shared_server.http.post("/api/v1/deployment-groups", {"functions": [member]}, headers=wait, timeout=120)
    group = reply.expect(201).json()
    return {
        "deployment-groups": group["id"],
        "deployments": group["deployments"][0]["id"],
        "functions": "full",
        "versions": "1",
        "triggers": "tick",
        "runs": run,
        "layers": "words",
    }


def function_with(folder: Path, name: str, settings: str) -> Path:
    """A function that talks, with more in its manifest."""
    function = write_function(folder, name, TALKS)
    manifest = function / "faas.toml"
    manifest.write_text(manifest.read_text() + settings)
    return function


def list_routes(server: Server) -> dict[str, dict[str, Any]]:
    """The operations whose answer is a page, by path."""
    document = server.api.openapi()
    schemas = document["components"]["schemas"]
    found = {}
    for path, item in document["paths"].items():
        content = item.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        name = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
        if set(schemas.get(name, {}).get("properties", {})) >= ENVELOPE:
            assert set(schemas[name]["required"]) == ENVELOPE, f"{name}: keys are always there"
            found[path] = item["get"]
    return found


def filled(path: str, full: dict[str, str]) -> str:
    return re.sub(r"/([a-z-]+)/\{\w+\}", lambda part: f"/{part[1]}/{full[part[1]]}", path)


def test_every_list_has_the_envelope_and_the_page_query(shared_server: Server, full: dict[str, str]) -> None:
    routes = list_routes(shared_server)
    assert len(routes) >= 19, sorted(routes)
    for path, operation in shared_server.api.openapi()["paths"].items():
        get = operation.get("get", {})
        assert path in routes or ".list" not in get.get("operationId", ""), f"{path} lists in another form"
    for path, operation in routes.items():
        named = {one["name"] for one in operation["parameters"] if one["in"] == "query"}
        assert {"limit", "cursor", "order"} <= named, path
        page = shared_server.http.get(filled(path, full)).expect(200).json()
        assert set(page) == ENVELOPE, path
        assert page["next_cursor"] is None or isinstance(page["next_cursor"], str), path
        assert page["total"] is None or set(page["total"]) == {"value", "exact"}, path


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("limit=0", "invalid_parameter"),
        ("limit=201", "invalid_parameter"),
        ("limit=x", "invalid_parameter"),
        ("limit=1&limit=2", "invalid_parameter"),
        ("order=up", "invalid_parameter"),
        ("cursor=", "invalid_cursor"),
        ("cursor=run_01JD2Z7Y5T0000000000000000", "invalid_cursor"),
        ("cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "invalid_cursor"),
        ("bogus=1", "unknown_parameter"),
    ],
)
def test_every_list_refuses_what_it_cannot_use(
    shared_server: Server, full: dict[str, str], query: str, reason: str
) -> None:
    for path in list_routes(shared_server):
        problem = shared_server.http.get(f"{filled(path, full)}?{query}").expect(400).json()
        assert problem["reason"] == reason, (path, problem)
        assert query.partition("=")[0] in problem["detail"], (path, problem)


def test_no_list_takes_the_cursor_of_another(shared_server: Server, full: dict[str, str]) -> None:
    for n in range(2):
        shared_server.api.create_key(f"for-cursors-{n}", ["invoke"])
    cursor = shared_server.http.get("/api/v1/keys?limit=1").expect(200).json()["next_cursor"]
    assert cursor
    for path in list_routes(shared_server):
        reply = shared_server.http.get(f"{filled(path, full)}?cursor={cursor}")
        if path == "/api/v1/keys":
            reply.expect(200)
            shared_server.http.get(f"/api/v1/keys?cursor={cursor}&limit=3").expect(200)
            for changed in ("q=x", "order=asc"):
                shared_server.http.get(f"/api/v1/keys?cursor={cursor}&{changed}").expect(400)
        else:
            assert reply.expect(400).json()["reason"] == "invalid_cursor", path


def walk(server: Server, path: str, query: str) -> Iterator[dict[str, Any]]:
    """All rows of a list, page by page."""
    cursor = ""
    for _ in range(10_000):
        page = server.http.get(f"{path}?{query}{cursor}").expect(200).json()
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"
    raise AssertionError("the list does not end")


@contextmanager
def meanwhile(work: Callable[[int], None]) -> Iterator[Event]:
    """Calls `work` with 0, 1, 2… until the block ends, and at least once before it begins."""
    stop, first, failures = Event(), Event(), []

    def loop() -> None:
        try:
            for n in range(100_000):
                work(n)
                first.set()
                if stop.is_set():
                    return
        except Exception as error:
            failures.append(error)
            first.set()

    thread = Thread(target=loop)
    thread.start()
    try:
        assert first.wait(60)
        yield first
    finally:
        stop.set()
        thread.join(60)
    assert not failures, failures


def check(kept: list[str], seen: list[str]) -> None:
    """What was there all along is there once and in order; nothing is there twice."""
    stayed = set(kept)
    assert [row for row in seen if row in stayed] == kept
    assert len(seen) == len(set(seen)), "a row comes twice"


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_walk_through_functions_holds_under_writes(server: Server, order: str) -> None:
    kept = [f"{order}-kept-{n:02}" for n in range(40)]
    for name in kept:
        server.http.post("/api/v1/functions", {"name": name}).expect(201)

    def churn(n: int) -> None:
        name = f"{order}-kept-{n * 7 % 40:02}-not"
        server.http.post("/api/v1/functions", {"name": name}).expect(201)
        server.http.request("DELETE", f"/api/v1/functions/{name}").expect(204)

    with meanwhile(churn):
        for sort in ("name", "created_at"):
            for limit in (1, 7):
                rows = walk(server, "/api/v1/functions", f"q={order}-kept&sort={sort}&order={order}&limit={limit}")
                seen = [row["name"] for row in rows]
                check(kept if order == "asc" else kept[::-1], seen)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_walk_through_keys_and_triggers_holds_under_writes(server: Server, tmp_path: Path, order: str) -> None:
    keys = [server.api.create_key(f"kept-{n}", ["invoke"])["id"] for n in range(12)]
    server.deploy(write_function(tmp_path, f"fires-{order}", ADD))
    path = f"/api/v1/functions/fires-{order}/triggers"
    triggers = [f"kept-{n:02}" for n in range(12)]
    add = lambda name: {"trigger": {"type": "cron", "name": name, "schedule": "@yearly"}}  # noqa: E731
    for name in triggers:
        server.http.post(path, add(name)).expect(201)

    def churn(n: int) -> None:
        key = server.api.create_key(f"gone-{n}", ["invoke"])["id"]
        server.http.post(path, add(f"kept-{n % 12:02}-not")).expect(201)
        server.api.revoke_key(key)
        server.http.request("DELETE", f"{path}/kept-{n % 12:02}-not").expect(204)

    way = 1 if order == "asc" else -1
    with meanwhile(churn):
        check(keys[::way], [row["id"] for row in walk(server, "/api/v1/keys", f"limit=2&order={order}")])
        for whose in (path, "/api/v1/triggers"):
            rows = walk(server, whose, f"q=fires-{order}&limit=3&order={order}")
            check(triggers[::way], [row["name"] for row in rows])


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_walk_through_versions_holds_under_deployments(server: Server, tmp_path: Path, order: str) -> None:
    def deploy(n: int) -> None:
        server.deploy(write_function(tmp_path / f"v{n}", f"grows-{order}", f"{ADD}\n# {n}\n"))

    for n in range(5):
        deploy(-n - 1)
    path = f"/api/v1/functions/grows-{order}"
    numbers = ["1", "2", "3", "4", "5"]
    way = 1 if order == "asc" else -1
    with meanwhile(deploy):
        for _ in range(5):
            rows = walk(server, f"{path}/versions", f"limit=1&order={order}")
            check(numbers[::way], [str(row["number"]) for row in rows])
            moves = [row["id"] for row in walk(server, f"{path}/deployments", f"limit=1&order={order}")]
            assert moves == sorted(set(moves))[::way] and len(moves) >= 5


def test_a_walk_through_logs_holds_under_writes(server: Server, tmp_path: Path) -> None:
    server.deploy(write_function(tmp_path, "talks", TALKS))
    first = server.api.invoke("talks", {"lines": 60}).expect(200).headers["x-run-id"]
    positions = [str(line["position"]) for line in server.api.log_lines(first, 50)]

    def churn(n: int) -> None:
        server.api.invoke("talks", {"lines": 5, "word": f"other {n}"}).expect(200)

    with meanwhile(churn):
        for order, way in (("asc", 1), ("desc", -1)):
            for query in (f"limit=7&order={order}", f"limit=3&search=kept&order={order}"):
                # A walk towards what is written now need not end.
                rows = list(islice(walk(server, "/api/v1/functions/talks/logs", query), 500 if way == 1 else None))
                seen = [str(row["position"]) for row in rows]
                check(positions[::way], seen)
                assert [int(position) for position in seen] == sorted(map(int, seen))[::way]


def test_a_walk_through_runs_and_dead_letters_holds_under_writes(server: Server, tmp_path: Path) -> None:
    server.deploy(function_with(tmp_path, works := "works-in-lists", "[background.retry]\nmax_attempts = 1\n"))

    def accept(count: int) -> list[str]:
        path = f"/api/v1/functions/{works}/invoke?mode=async"
        return [server.http.post(path, {"fail": True}).expect(202).json()["run_id"] for _ in range(count)]

    kept = sorted(accept(12))
    letters = "/api/v1/dead-letters"
    until(lambda: len(list(walk(server, letters, f"limit=200&function={works}"))) == 12, "all were given up")

    def churn(_: int) -> None:
        server.api.invoke(works, {}).expect(200)
        (gone,) = accept(1)
        until(lambda: server.http.get(f"{letters}/{gone}").status == 200, "it was given up")
        server.http.request("DELETE", f"{letters}/{gone}").expect(204)

    with meanwhile(churn):
        for limit in (1, 5):
            check(
                kept[::-1],
                [row["id"] for row in walk(server, "/api/v1/runs", f"limit={limit}&function={works}")],
            )
            rows = walk(server, letters, f"limit={limit}&function={works}")
            check(kept[::-1], [row["run"]["id"] for row in rows])


def test_functions_are_found_by_a_part_of_their_name(server: Server) -> None:
    _, second, _ = three = ["several-first", "several-second", "several-third"]
    for name in three:
        server.http.post("/api/v1/functions", {"name": name}).expect(201)
    found = server.http.get("/api/v1/functions?q=RAL-").expect(200).json()
    assert [row["name"] for row in found["items"]] == three
    server.http.request("POST", f"/api/v1/functions/{second}/pause").expect(200)
    paused = server.http.get("/api/v1/functions?paused=true&q=several").expect(200).json()
    assert [row["name"] for row in paused["items"]] == [second]
    server.http.get("/api/v1/functions?q=a&q=b").expect(400)
    types = lambda values: server.http.get(f"/api/v1/triggers?type={values}")  # noqa: E731
    assert {row["name"] for row in types("cron,webhook").expect(200).json()["items"]} >= {"tick"}
    assert types("cron&type=webhook").expect(200).json() == types("cron,webhook").json()
    assert "type" in types("cron,moon").expect(400).json()["detail"]


def test_a_span_is_counted_from_the_first_page(server: Server, tmp_path: Path) -> None:
    server.deploy(write_function(tmp_path, "spans", ADD))
    ids = [server.api.invoke("spans", {"x": 1, "y": 1}).expect(200).headers["x-run-id"] for _ in range(3)]
    for run in ids:
        server.api.finished(run)
    page = server.http.get("/api/v1/runs?function=spans&since=3s&limit=1").expect(200).json()
    if not page["items"]:
        pytest.fail("the runs were not made within 3 s")
    until(lambda: not server.api.runs("?function=spans&since=3s"), "the runs are older than the span")
    rest = (
        server.http.get(f"/api/v1/runs?function=spans&since=3s&limit=1&cursor={page['next_cursor']}").expect(200).json()
    )
    assert [row["id"] for row in page["items"] + rest["items"]] == ids[:0:-1]


def test_commands_that_list_follow_cursors(server: Server) -> None:
    every = [f"by-command-{n}" for n in range(5)]
    for name in every:
        server.http.post("/api/v1/functions", {"name": name}).expect(201)

    def listed(*words: str) -> dict[str, Any]:
        return server.cli("functions", "list", "--search", "by-command", *words, "-o", "json").ok().json()

    names = lambda page: [row["name"] for row in page["items"]]  # noqa: E731
    assert names(listed()) == names(listed("--all")) == every
    first = listed("-n", "2")
    assert names(first) == every[:2]
    assert names(listed("--cursor", first["next_cursor"])) == every[2:]
    assert names(listed("--newest", "-n", "1")) == every[4:]
    whole = server.http.get("/api/v1/functions?limit=1").expect(200).json()
    assert whole["total"]["exact"] and whole["total"]["value"] >= 5
    server.cli("functions", "list", "--all", "-n", "3").exits(2)
    server.cli("functions", "list", "--limit", "0").exits(2)
    server.cli("logs", "--limit", "5").ok()
