"""What the API's document shows and promises.

Examples fit their schemas, headers are declared and sent, callbacks are described, and a promise that was accepted
stays.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from harness import Server, write_function
from harness.paths import ROOT

from product.functions import ADD

METHODS = ("get", "put", "post", "patch", "delete")


@pytest.fixture(scope="module")
def document(shared_server: Server) -> dict[str, Any]:
    return shared_server.api.openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in (document["paths"] | document["webhooks"]).items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def shown(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each content that has an example."""
    for where, operation in operations(document):
        bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for place, body in bodies.items():
            for content in body.get("content", {}).values():
                if "example" in content:
                    yield f"{where} {place}", content


def test_examples_fit_their_schemas(document: dict[str, Any]) -> None:
    checked = 0
    for where, content in shown(document):
        schema = content["schema"] | {"components": document["components"]}
        validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        assert [error.message for error in validator.iter_errors(content["example"])] == [], where
        checked += 1
    assert checked >= 10


def test_each_example_is_shown(document: dict[str, Any]) -> None:
    """An operation that was renamed would lose its example quietly."""
    examples = json.loads((ROOT / "crates/api/src/openapi/examples.json").read_text(encoding="utf-8"))
    by_id = {operation["operationId"]: operation for _, operation in operations(document)}
    for name, places in examples.items():
        for place in places:
            body = by_id[name]["requestBody"] if place == "request" else by_id[name]["responses"][place]
            assert "example" in body["content"]["application/json"], (name, place)


def test_the_callback_is_described(document: dict[str, Any]) -> None:
    operation = document["webhooks"]["runs.ended"]["post"]
    assert {one["name"] for one in operation["parameters"]} == {"webhook-id", "webhook-timestamp", "webhook-signature"}


def headers(document: dict[str, Any], operation: dict[str, Any], status: str) -> set[str]:
    response = operation["responses"][status]
    ref = response.get("$ref", "")
    response = document["components"]["responses"][ref.rsplit("/", 1)[-1]] if ref else response
    return {name.lower() for name in response.get("headers", {})}


def test_headers_of_answers_are_declared(server: Server, tmp_path: Path, name: str) -> None:
    document = server.api.openapi()
    by_id = {operation["operationId"]: operation for _, operation in operations(document)}
    server.deploy(write_function(tmp_path, name, ADD))
    for reply, operation in (
        (server.api.invoke(name, {"x": 1, "y": 2}).expect(200), by_id["functions.invoke"]),
        (server.http.get("/api/v1/functions").expect(200), by_id["functions.list"]),
        (server.http.get(f"/api/v1/functions/{name}").expect(200), by_id["functions.get"]),
        (server.http.get("/api/v1/functions/nothing").expect(404), by_id["functions.get"]),
        (server.http.post("/api/v1/keys", {"name": name, "scopes": ["invoke"]}).expect(201), by_id["keys.create"]),
    ):
        status = "2XX" if operation is by_id["functions.invoke"] else str(reply.status)
        declared = headers(document, operation, status)
        sent = {one.lower() for one in reply.headers}
        usual = {
            "content-type",
            "content-length",
            "date",
            "vary",
            "server-timing",
            "transfer-encoding",
            "content-encoding",
        }
        usual |= {"connection", "x-call-id", "x-error-source", "allow", "cache-control"}
        assert sent - usual <= declared, (operation["operationId"], sent - usual - declared)
        assert {"x-request-id", "faas-version"} <= declared, operation["operationId"]
    for where, operation in operations(document):
        if where.startswith("POST runs.ended"):
            continue
        named = any(one["name"].lower() == "idempotency-key" for one in operation.get("parameters", []))
        for status in operation["responses"]:
            declared = headers(document, operation, status)
            if named and status.startswith("2"):
                assert "idempotency-replayed" in declared, (where, status)
            if status == "429":
                assert {"retry-after", "ratelimit"} <= declared, (where, status)


def test_promises_that_were_accepted_stay() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/api-surface", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_breaks_clients_is_noticed() -> None:
    path = str(ROOT / "scripts/api-surface")
    loader = importlib.machinery.SourceFileLoader("api_surface", path)
    spec = importlib.util.spec_from_loader("api_surface", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    loader.exec_module(module)

    def one() -> dict[str, Any]:
        return json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8"))

    def remove_operation(document: dict[str, Any]) -> None:
        del document["paths"]["/api/v1/functions"]["get"]

    def rename_operation(document: dict[str, Any]) -> None:
        document["paths"]["/api/v1/functions"]["get"]["operationId"] = "functions.all"

    def demand_a_scope(document: dict[str, Any]) -> None:
        document["paths"]["/api/v1/functions"]["get"]["security"] = [{"bearer": ["admin"]}]

    def demand_a_field(document: dict[str, Any]) -> None:
        document["components"]["schemas"]["UpdateKey"]["required"] = ["name"]

    def drop_a_field(document: dict[str, Any]) -> None:
        del document["components"]["schemas"]["KeyView"]["properties"]["name"]

    def leave_a_field_out(document: dict[str, Any]) -> None:
        document["components"]["schemas"]["KeyView"]["required"].remove("name")

    def change_a_type(document: dict[str, Any]) -> None:
        document["components"]["schemas"]["KeyView"]["properties"]["name"] = {"type": "integer"}

    def take_a_value_less(document: dict[str, Any]) -> None:
        document["components"]["schemas"]["Scope"]["enum"].remove("invoke")

    def drop_a_parameter(document: dict[str, Any]) -> None:
        parameters = document["paths"]["/api/v1/functions"]["get"]["parameters"]
        parameters[:] = [one for one in parameters if one["name"] != "limit"]

    before = module.surface(one())
    for change in (
        remove_operation,
        rename_operation,
        demand_a_scope,
        demand_a_field,
        drop_a_field,
        leave_a_field_out,
        change_a_type,
        take_a_value_less,
        drop_a_parameter,
    ):
        document = one()
        change(document)
        assert before - module.surface(document), change.__name__
    document = one()
    document["components"]["schemas"]["KeyView"]["properties"]["color"] = {"type": "string"}
    document["paths"]["/api/v1/new"] = {"get": {"operationId": "new.get", "responses": {"200": {}}}}
    assert not before - module.surface(document)
