"""The preflight rules of a project: on top of the operator's, the same here and there, with their author."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server, write_function

from product.blobs import deploy_raw, file_body

GOOD = "def handler():\n    return 'fine'\n"
# Put together at run time, so that no key-like text stands in the tree.
AWS = "AKIA" + "Q3EGRIBSD7XWZ2YT"
POLICY = "/api/v1/settings/upload-policy"
RULES = {"blocked_files": ["*.md", "!*.pem"], "blocked_text": ["(?i)draft"], "blocked_imports": ["socket"]}


@pytest.fixture
def strict() -> Iterator[Server]:
    """A server whose operator blocks certificates."""
    with Server() as server:
        server.stop()
        config = server.home / "server.toml"
        config.write_text("[preflight]\nblocked_files = ['*.pem']\n", encoding="utf-8")
        server.args += ["--config", str(config)]
        yield server.start()


def put(server: Server, rules: dict[str, Any], **more: Any) -> Any:
    """Sets the project's rules."""
    return server.http.request("PUT", POLICY, json_body={"rules": rules} | more)


def test_a_project_adds_its_rules_to_the_operators(strict: Server, tmp_path: Path) -> None:
    assert "project" not in strict.http.get(POLICY).expect(200).json()
    view = put(strict, RULES).expect(200).json()
    assert view["operator"]["blocked_files"] == ["*.pem"]
    project = view["project"]
    assert project["rules"]["blocked_files"] == RULES["blocked_files"]
    assert (project["actor"]["name"], project["set_at"][:2]) == ("admin", "20")
    strict.stop()
    strict.start()
    assert strict.http.get(POLICY).expect(200).json() == view, "it outlives the server"
    cases = [
        ({"tls/a.pem": "x"}, "this server takes no files that match `*.pem`", "operator"),
        ({"notes.md": "x"}, "this project takes no files that match `*.md`", "project"),
        ({"a.txt": "a Draft"}, "a.txt:1:3: this project takes no text that matches `(?i)draft`", "project"),
        ({"b.py": "import socket\n"}, "b.py:1:8: this project takes no functions that import `socket`", "project"),
    ]
    for number, (files, words, owner) in enumerate(cases):
        all_files = {"main.py": GOOD} | files
        folder = write_function(tmp_path / str(number), f"policy-{number}", all_files)
        report = strict.cli("validate", folder, "-o", "json").exits(5).json()
        assert [(one["owner"], one["code"]) for one in report["findings"]] == [(owner, "FN_028")]
        here = strict.cli("deploy", folder).exits(5).stderr
        there = deploy_raw(strict, f"policy-{number}", all_files).expect(422).json()
        for said in (report["problems"][0], here, there["detail"]):
            assert words in said, "both sides give the same answer"
    plan = {"files": [file_body("x.md", b"never sent")]}
    refused = strict.http.post("/api/v1/blobs/check", plan).expect(422).json()
    assert "this project takes no files" in refused["detail"]
    away = strict.cli("validate", folder, env={"FAAS_ENDPOINT": "http://127.0.0.1:1"})
    assert away.ok().code == 0, "without the server the built-in rules are checked"
    strict.http.request("DELETE", POLICY).expect(204)
    strict.deploy(folder)


def test_an_allowed_secret_is_allowed_in_every_function(strict: Server, tmp_path: Path) -> None:
    files = {"main.py": GOOD, "tests/keys.py": f"KEY = '{AWS}'\n"}
    folder = write_function(tmp_path, "allowed", files)
    assert "FN_028" in strict.cli("deploy", folder).exits(5).stderr
    put(strict, {"secrets": False, "allow_secrets": ["tests/**:aws-access-key"]}).expect(200)
    strict.deploy(folder)
    write_function(tmp_path, "allowed", files | {"other.py": f"KEY = '{AWS}'\n"})
    assert "other.py:1:8" in strict.cli("deploy", folder).exits(5).stderr, "the operator wants files searched"


def test_the_command_shows_sets_and_resets(strict: Server, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("blocked_imports = ['socket']\n", encoding="utf-8")
    shown = strict.cli("preflight", "set", rules).ok()
    assert ["blocked", "import", "socket", "project"] in [line.split() for line in shown.stdout.splitlines()]
    assert "revision" in shown.stderr
    table = strict.cli("preflight", "get").ok().stdout
    assert ["blocked", "file", "*.pem", "server"] in [line.split() for line in table.splitlines()]
    kept = strict.cli("preflight", "get", "--toml").ok().stdout
    strict.cli("preflight", "set", "-", stdin=kept).ok()
    view = strict.cli("preflight", "get", "-o", "json").ok().json()
    assert view["project"]["rules"]["blocked_imports"] == ["socket"]
    old = str(view["project"]["revision"])
    strict.cli("preflight", "set", rules, "--revision", old).ok()
    assert "FN_014" in strict.cli("preflight", "set", rules, "--revision", old).exits(6).stderr
    rules.write_text("secrets = true\nblocked = ['x']\n", encoding="utf-8")
    said = strict.cli("preflight", "set", rules).exits(5).stderr
    assert "rules.toml:2: unknown field `blocked`" in said
    strict.cli("preflight", "reset", "--yes").ok()
    assert strict.cli("preflight", "get", "-o", "json").ok().json().get("project") is None


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"blocked_text": ["("]}, "rules.blocked_text has `(`"),
        ({"blocked_text": [r"(\w{200}){50}"]}, "rules.blocked_text has"),
        ({"blocked_files": ["[z-a]"]}, "rules.blocked_files has `[z-a]`"),
        ({"blocked_files": ["x"] * 101}, "rules.blocked_files must have at most 100 entries"),
        ({"blocked_files": ["x" * 1_001]}, "rules.blocked_files must have entries of 1 to 1000 bytes"),
        ({"blocked_imports": ["a b"]}, "rules.blocked_imports has `a b`"),
        ({"allow_secrets": ["x.py:jwd"]}, "rules.allow_secrets has `jwd`"),
    ],
)
def test_a_rule_that_is_none_is_refused_by_its_field(server: Server, rules: dict[str, Any], words: str) -> None:
    problem = put(server, rules).expect(422).json()
    assert problem["code"] == "FN_006"
    assert words in problem["detail"]
    assert len(json.dumps(problem)) < 3_000
    assert "project" not in server.http.get(POLICY).expect(200).json()


def test_only_admins_change_it(server: Server, name: str) -> None:
    key = server.api.create_key(name, ["functions:write"])["key"]
    server.http.get(POLICY, key=key).expect(200)
    server.http.request("PUT", POLICY, json_body={"rules": {}}, key=key).expect(403)
    server.http.request("DELETE", POLICY, key=key).expect(403)
    server.http.request("PUT", POLICY, json_body={"rules": {}, "revision": 1}).expect(409)
    server.http.request("PUT", POLICY, json_body={"rules": {"block": []}}).expect(422)
