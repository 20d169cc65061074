"""`faas init`, `faas test` and `faas invoke --local`: a function is tried without a server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from harness import write_function
from harness.paths import ROOT

from product.developer import Developer
from product.functions import ADD

PYTHON = ["http", "webhook", "cron", "worker", "plain"]
NODE = ["http", "webhook", "cron", "worker"]


@pytest.fixture(scope="module")
def developer(tmp_path_factory: pytest.TempPathFactory) -> Developer:
    return Developer(tmp_path_factory.mktemp("developer"))


@pytest.fixture(scope="module")
def data(developer: Developer) -> str:
    """One store for all tests, so that the runtimes are sealed once."""
    return str(developer.home / "state")


def passes(developer: Developer, folder: Path, data: str) -> dict[str, object]:
    return developer.cli("test", folder, "--data", data, "-o", "json").ok().json()


@pytest.mark.parametrize("template", PYTHON)
def test_a_python_template_passes_its_own_test(developer: Developer, data: str, template: str) -> None:
    folder = developer.home / f"py-{template}"
    developer.cli("init", folder.name, "--template", template, cwd=developer.home).ok()
    report = passes(developer, folder, data)
    assert report["failed"] == 0 and report["coverage"]["covered"] == report["coverage"]["total"] == 1


@pytest.mark.needs("npm")
@pytest.mark.parametrize("template", NODE)
def test_a_node_template_passes_its_own_test(developer: Developer, data: str, template: str) -> None:
    folder = developer.home / f"node-{template}"
    words = ["--template", template, "--runtime", "node"]
    developer.cli("init", folder.name, *words, cwd=developer.home).ok()
    report = passes(developer, folder, data)
    assert report["failed"] == 0 and report["coverage"]["covered"] == report["coverage"]["total"] == 1


def test_the_asgi_template_passes_its_own_test(developer: Developer, data: str) -> None:
    example = ROOT / "examples/fastapi"
    assert (example / "vendor/fastapi").is_dir(), "run examples/fastapi/vendor.sh first (make test does)"
    runtime = next(
        line.split('"')[1]
        for line in (example / "faas.toml").read_text(encoding="utf-8").splitlines()
        if "runtime" in line
    )
    folder = developer.home / "py-asgi"
    words = ["--template", "asgi", "--runtime", runtime]
    developer.cli("init", folder.name, *words, cwd=developer.home).ok()
    shutil.copytree(example / "vendor", folder / "vendor")
    assert passes(developer, folder, data)["failed"] == 0


def test_init_names_a_function_after_its_directory(developer: Developer) -> None:
    here = developer.home / "Named_Here"
    here.mkdir()
    assert developer.cli("init", "-o", "json", cwd=here).ok().json()["name"] == "named-here"
    developer.cli("validate", cwd=here).ok()
    refused = developer.cli("init", "kept", "--template", "stateful", cwd=developer.home).exits(1)
    assert "not built yet" in refused.stderr and not (developer.home / "kept").exists()


def test_what_is_not_as_expected_is_told(developer: Developer, data: str, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "adder", ADD)
    cases = [
        {"name": "right", "request": {"body": {"x": 1, "y": 2}}, "expect": {"json": {"result": 3}}},
        {"name": "wrong", "request": {"body": {"x": 1, "y": 2}}, "expect": {"json": {"result": 4}}},
        {"name": "refused", "request": {"path": "/?x=a&y=1"}, "expect": {"status": 400}},
        {"name": "unexpected", "request": {"body": {"x": "a"}}},
    ]
    (folder / "tests").mkdir()
    (folder / "tests/sums.json").write_text(json.dumps(cases), encoding="utf-8")
    shown = developer.cli("test", folder, "--data", data).exits(1)
    assert "2 passed, 2 failed; 1 of 1 triggers covered" in shown.stdout
    assert "json.result: expected 4, got 3" in shown.stdout
    assert "status: 400 is not expected" in shown.stdout
    rows = developer.cli("test", folder, "--data", data, "-o", "ndjson").exits(1).stdout.splitlines()
    assert [json.loads(row).get("passed") for row in rows] == [True, False, True, False, 2]


def test_snapshots_are_written_and_compared(developer: Developer, data: str, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "adder", ADD)
    event = folder / "events/sum.json"
    event.parent.mkdir()
    event.write_text('{"request": {"body": {"x": 1, "y": 2}}, "expect": {"snapshot": true}}', encoding="utf-8")
    assert "--update" in developer.cli("test", folder, "--data", data).exits(1).stdout
    developer.cli("test", folder, "--data", data, "--update").ok()
    kept = json.loads((folder / "events/__snapshots__/sum.json").read_text(encoding="utf-8"))
    assert kept == {"status": 200, "body": {"result": 3}}
    developer.cli("test", folder, "--data", data).ok()
    (folder / "main.py").write_text(ADD.replace("+", "-"), encoding="utf-8")
    assert 'got {"status":200,"body":{"result":-1}}' in developer.cli("test", folder, "--data", data).exits(1).stdout


def test_triggers_of_all_kinds_are_covered(developer: Developer, data: str, tmp_path: Path) -> None:
    code = "def handler(event, context):\n    return {'by': context.request.headers.get('x-faas-trigger')}\n"
    folder = write_function(tmp_path, "reached", code)
    triggers = [
        'type = "event"\nname = "paid"\ntypes = ["order.*"]',
        'type = "cron"\nname = "daily"\nschedule = "@daily"',
    ]
    with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.writelines(f"[[triggers]]\n{trigger}\n" for trigger in triggers)
    (folder / "tests").mkdir()
    case = {"trigger": "paid", "body": {"order": 7}, "expect": {"state": "succeeded", "json": {"by": "event"}}}
    (folder / "tests/paid.json").write_text(json.dumps(case), encoding="utf-8")
    shown = developer.cli("test", folder, "--data", data).ok()
    assert "1 of 2 triggers covered, not daily" in shown.stdout


def test_a_bare_event_is_the_body_of_a_call(developer: Developer, data: str, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "adder", ADD)
    event = tmp_path / "event.json"
    event.write_text('{"x": 2, "y": 3}', encoding="utf-8")
    developer.cli("test", folder, "--event", event, "--data", data).ok()
    event.write_text('{"x": 2, "z": 3}', encoding="utf-8")
    developer.cli("test", folder, "--event", event, "--data", data).exits(1)
    event.write_text('{"request": {"boddy": 1}}', encoding="utf-8")
    assert "event.json:1:" in developer.cli("test", folder, "--event", event, "--data", data).exits(5).stderr


def test_a_directory_is_called_without_a_server(developer: Developer, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "adder", ADD)
    assert developer.cli("invoke", "--local", folder, "-d", '{"x": 5, "y": 10}').ok().json() == {"result": 15}
    assert developer.cli("invoke", "--local", "-d", '{"x": 1, "y": 1}', cwd=folder).ok().json() == {"result": 2}
    assert "FN_012" in developer.cli("invoke", "--local", folder, "-d", '{"x": "no"}').exits(2).stderr
