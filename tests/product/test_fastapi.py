"""A FastAPI application, unchanged, behind its URL."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest
from harness import Server
from harness.paths import EXAMPLES


@pytest.fixture(scope="module")
def app(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("fastapi") / "fastapi"
    shutil.copytree(EXAMPLES / "fastapi", folder)
    assert (folder / "vendor/fastapi").is_dir(), "run examples/fastapi/vendor.sh first (make test does)"
    shared_server.deploy(folder)
    yield shared_server


def test_path_and_query_are_intact(app: Server) -> None:
    reply = app.http.get("/fn/fastapi/items/42?q=a%20b&tag=x&tag=y").expect(200)
    assert reply.json() == {"item_id": 42, "q": "a b", "tags": ["x", "y"]}
    assert reply.headers["content-type"] == "application/json"


def test_the_root_and_its_own_404(app: Server) -> None:
    assert app.http.get("/fn/fastapi/").expect(200).json() == {"hello": "world"}
    missing = app.http.get("/fn/fastapi/nowhere").expect(404)
    assert missing.json() == {"detail": "Not Found"}
    assert "x-run-id" in missing.headers


def test_bodies_are_validated_by_the_application(app: Server) -> None:
    good = app.http.post("/fn/fastapi/items", {"name": "pen", "price": 1.5}).expect(201)
    assert good.json() == {"name": "pen", "price": 1.5, "with_tax": 1.785}
    bad = app.http.post("/fn/fastapi/items", {"name": "pen"}).expect(422)
    assert bad.json()["detail"][0]["loc"] == ["body", "price"]


def test_its_documentation_knows_where_it_lives(app: Server) -> None:
    document = app.http.get("/fn/fastapi/openapi.json").expect(200).json()
    assert "/items/{item_id}" in document["paths"]
    page = app.http.get("/fn/fastapi/docs").expect(200).body.decode()
    assert "/fn/fastapi/openapi.json" in page


def test_its_links_lead_back_to_it(app: Server) -> None:
    """A redirect of the application's own stays below the function's URL, whatever a caller claims."""
    for claimed in ({}, {"X-Forwarded-Prefix": "/evil"}):
        moved = app.http.request("POST", "/fn/fastapi/items/", "{}", headers=claimed).expect(307)
        assert moved.headers["location"].endswith("/fn/fastapi/items")


def test_streams_arrive_in_parts(app: Server) -> None:
    connection = app.http.connect()
    connection.request("GET", "/fn/fastapi/stream", headers={"Authorization": f"Bearer {app.key}"})
    answer = connection.getresponse()
    lines = [json.loads(line) for line in answer.read().splitlines()]
    connection.close()
    assert [line["n"] for line in lines] == [0, 1, 2, 3, 4]


def test_headers_and_cookies_pass_both_ways(app: Server) -> None:
    reply = app.http.get(
        "/fn/fastapi/headers", headers={"X-Own": "välue".encode().decode("latin-1"), "Cookie": "a=1; b=2"}
    )
    reply.expect(200)
    assert reply.json()["cookies"] == {"a": "1", "b": "2"}
    assert reply.headers["set-cookie"].startswith("seen=yes")


def test_the_callers_key_does_not_reach_the_application(app: Server) -> None:
    got = app.http.get("/fn/fastapi/headers").expect(200).json()["headers"]
    assert app.key not in json.dumps(got)


def test_an_application_error_is_its_own(app: Server) -> None:
    reply = app.http.get("/fn/fastapi/fail")
    assert reply.status in (500, 502)
    assert app.http.get("/fn/fastapi/").expect(200).headers["x-cold-start"] == "false"


def test_calls_share_one_instance(app: Server) -> None:
    """An asynchronous application takes many calls at once."""
    from concurrent.futures import ThreadPoolExecutor

    app.http.get("/fn/fastapi/").expect(200)
    with ThreadPoolExecutor(8) as callers:
        pids = list(callers.map(lambda _: app.http.get("/fn/fastapi/slow").expect(200).json()["pid"], range(8)))
    assert len(set(pids)) <= 2
