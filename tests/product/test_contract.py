"""The contracts that other programs rely on: OpenAPI, metrics, health, the error catalogue."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server, write_function
from harness.paths import ROOT, TARGET, program

from product.functions import ADD

FUZZING = Path(__file__).parent / "schemathesis.toml"
# One of each type, so that the fuzzer has something to change.
TRIGGERS = """
[[triggers]]
type = "http"
[[triggers]]
type = "cron"
name = "tick"
schedule = "@yearly"
[[triggers]]
type = "webhook"
name = "door"
[[triggers]]
type = "event"
name = "listen"
types = ["*"]
"""
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance"
)


def test_health_and_readiness(server: Server) -> None:
    for path in ("/healthz", "/readyz"):
        assert server.http.get(path, key=None).expect(200).json()["status"] == "ok"


def test_the_openapi_document_is_the_one_in_the_tree(server: Server) -> None:
    kept = [path for path in (ROOT / "openapi.json", ROOT / "docs/openapi.json") if path.exists()]
    assert kept, "no OpenAPI document is kept in the tree"
    assert server.api.openapi() == json.loads(kept[0].read_text(encoding="utf-8")), "run `make openapi` and commit it"


def test_no_pattern_of_the_openapi_document_freezes_the_codes(server: Server) -> None:
    patterns = set(patterns_of(server.api.openapi()))
    assert patterns and not [pattern for pattern in patterns if "FN_" in pattern]


def patterns_of(node: Any) -> Iterator[str]:
    """Every `pattern` of a JSON document."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key == "pattern" and isinstance(value, str):
            yield value
        elif isinstance(value, (dict, list)):
            yield from patterns_of(value)


def test_parameters_are_documented_where_they_are(server: Server) -> None:
    """A query parameter that the document calls a part of the path would be refused as unknown."""
    document = server.api.openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path)), (method, path)


def test_the_openapi_document_is_version_3_1(server: Server) -> None:
    document = server.api.openapi()
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method in ("get", "put", "post", "delete", "patch"):
                assert operation.get("operationId"), f"{method} {path}"
                assert operation.get("responses"), f"{method} {path}"


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_metrics(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, ADD))
    server.api.invoke(name, {"x": 1, "y": 2}).expect(200)
    server.api.call("no-such-function").expect(404)
    metrics = server.http.get("/metrics").expect(200)
    checked = subprocess.run(
        [program("promtool"), "check", "metrics"], input=metrics.body, capture_output=True, timeout=60, check=False
    )
    assert checked.returncode == 0, (checked.stdout + checked.stderr).decode()
    text = metrics.body.decode()
    assert f'function="{name}"' in text


def _fuzz(server: Server, report: str, before: list[str], after: list[str], known: dict[str, str]) -> None:
    """Makes requests from the document's own schema and expects no 5xx and no answer that it does not promise."""
    place = TARGET / "test" / "schemathesis"
    place.mkdir(parents=True, exist_ok=True)
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    address = f"http://127.0.0.1:{server.port}/openapi.json"
    key = f"Authorization: Bearer {server.key}"
    checked = subprocess.run(
        [program("schemathesis"), *before, "run", address, "--header", key, "--checks", CHECKS, "--no-color", *after],
        cwd=place,
        env=clean | known,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    (place / report).write_text(checked.stdout + checked.stderr, encoding="utf-8")
    assert checked.returncode == 0, checked.stdout[-12_000:]
    assert server.is_ready()


@pytest.mark.needs("schemathesis")
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    with Server() as server:
        folder = write_function(tmp_path, "hello", ADD)
        (folder / "faas.toml").write_text((folder / "faas.toml").read_text() + TRIGGERS)
        server.deploy(folder)
        known = {
            "RUN_ID": server.api.invoke("hello", {"x": 1, "y": 2}).expect(200).headers["x-run-id"],
            "KEY_ID": server.api.create_key("spare", ["invoke"])["id"],
        }
        _fuzz(server, "all.txt", ["--config-file", str(FUZZING)], [], known)
        # The function was there to the end, so what was asked of it was really asked.
        assert server.api.invoke("hello", {"x": 1, "y": 2}).expect(200).json() == {"result": 3}
        alone = ["--include-name", "DELETE /api/v1/functions/{function}", "--phases", "coverage,fuzzing", "--seed", "1"]
        _fuzz(server, "delete.txt", [], [*alone, "--max-examples", "25", "--generation-database", "none"], {})


def test_every_code_has_a_page_and_an_explanation(server: Server) -> None:
    pages = sorted(path.stem for path in (ROOT / "docs/errors").glob("FN_*.md"))
    assert pages, "no pages under docs/errors"
    for code in pages:
        told = server.cli("explain", code).ok().stdout
        assert code in told
        assert len(told.splitlines()) >= 5, f"{code} is hardly explained"
    last = int(pages[-1].removeprefix("FN_"))
    assert pages == [f"FN_{number:03}" for number in range(1, last + 1)]
    for unknown in (f"FN_{last + 1:03}", "FN_000", "nonsense"):
        assert f"FN_{last:03}" in server.cli("explain", unknown).exits(2).stderr
