"""What holds for every route of the API, read from the document that the server publishes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harness import Server

# Their query or body goes to a function, or is free by its standard.
FREE_QUERY = {("post", "/api/v1/functions/{function}/invoke")}
FREE_BODY = {
    ("post", "/api/v1/functions/{function}/invoke"),
    ("post", "/api/v1/functions/{function}/triggers/{trigger}/test"),
    ("post", "/api/v1/topics/{topic}/messages"),
    ("post", "/api/v1/events"),
}


def operations(server: Server) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each route that wants a key."""
    for path, item in server.api.openapi()["paths"].items():
        for method, operation in item.items():
            if operation.get("security"):
                yield method, path, operation


def concrete(path: str, operation: dict[str, Any]) -> str:
    """The path with something in each of its places."""
    types = {one["name"]: one["schema"].get("type") for one in operation.get("parameters", []) if one["in"] == "path"}
    return re.sub(r"\{(\w+)\}", lambda place: "1" if types[place[1]] == "integer" else "nothing", path)


def test_no_route_takes_a_query_parameter_that_it_does_not_name(server: Server) -> None:
    checked = 0
    for method, path, operation in operations(server):
        if (method, path) in FREE_QUERY:
            continue
        reply = server.http.request(method.upper(), f"{concrete(path, operation)}?sirname=1")
        reply.expect(400)
        if method == "head":
            continue
        problem = reply.json()
        assert "unknown query parameter `sirname`" in problem["detail"], (method, path, problem)
        known = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
        assert all(name in problem["detail"] for name in known), (method, path, problem)
        checked += 1
    assert checked > 80


def test_a_query_parameter_is_known_by_its_name_however_it_is_written(server: Server) -> None:
    assert len(server.http.get("/api/v1/runs?%6Cimit=1&cold%3d=").expect(400).json()) > 0
    server.http.get("/api/v1/runs?%6Cimit=1").expect(200)


def test_no_body_has_fields_that_its_route_does_not_name(server: Server) -> None:
    checked = 0
    for method, path, operation in operations(server):
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content or (method, path) in FREE_BODY:
            continue
        problem = server.http.request(method.upper(), concrete(path, operation), json_body={"sirname": 1})
        assert "unknown field `sirname`" in problem.expect(422).json()["detail"], (method, path)
        checked += 1
    assert checked > 20


def test_nor_do_the_objects_inside_of_bodies(server: Server) -> None:
    document = server.api.openapi()
    schemas = document["components"]["schemas"]
    checked = set()

    def walk(schema: dict[str, Any], name: str) -> None:
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[-1]
            if name not in checked:
                checked.add(name)
                walk(schemas[name], name)
            return
        if "properties" in schema:
            assert schema.get("additionalProperties") is False, name
        parts = [*schema.get("properties", {}).values()]
        parts += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
        for key in ("oneOf", "anyOf", "allOf"):
            parts += schema.get(key, [])
        for part in parts:
            walk(part, f"{name}.")

    for method, path, operation in operations(server):
        for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
            if media_type == "application/json":
                walk(body.get("schema", {}), f"{method} {path}")
    assert len(checked) > 20
