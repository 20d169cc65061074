"""The API's document by the tools that users have: linters accept it, and clients that are generated from it work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness import Server
from harness.paths import ROOT, TARGET

pytestmark = pytest.mark.needs("generators")

TOOLS = TARGET / "tools/openapi"
SOURCES = ROOT / "tests/openapi"
PYTHON = TOOLS / "venv/bin"


@pytest.fixture(scope="module")
def place(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the server's document, the programs, and the packages that they need."""
    place = tmp_path_factory.mktemp("openapi")
    (place / "openapi.json").write_text(json.dumps(shared_server.api.openapi()), encoding="utf-8")
    for name in ("client.ts", "client.py", "tsconfig.json", "spectral.yaml", "package.json"):
        shutil.copy(SOURCES / name, place)
    (place / "node_modules").symlink_to(TOOLS / "node_modules")
    return place


def run(place: Path, *command: str | Path, **env: str) -> str:
    """What a program prints; it must succeed."""
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
    path = f"{PYTHON}:{os.environ['PATH']}"
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        command,
        cwd=place,
        env=clean | quiet | {"PATH": path} | env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]
    return done.stdout + done.stderr


def bin_of(name: str) -> Path:
    return TOOLS / "node_modules/.bin" / name


def test_redocly_accepts_the_document(place: Path) -> None:
    said = run(place, bin_of("redocly"), "lint", "openapi.json")
    assert "Your API description is valid" in said
    assert "warning" not in said.split("openapi.json: validated")[0].lower().replace("deprecation warning", ""), said


def test_spectral_accepts_the_document(place: Path) -> None:
    run(place, bin_of("spectral"), "lint", "openapi.json", "--ruleset", "spectral.yaml", "--fail-severity", "warn")


def test_models_have_names_of_their_own(place: Path) -> None:
    """A number in a class's name comes from a part of the document that has none."""
    run(
        place,
        PYTHON / "datamodel-codegen",
        *("--input", "openapi.json", "--input-file-type", "openapi", "--output", "models.py"),
        *("--output-model-type", "pydantic_v2.BaseModel", "--target-python-version", "3.10"),
    )
    models = (place / "models.py").read_text(encoding="utf-8")
    assert "class TriggerSettingsCron(" in models
    assert re.findall(r"^class (\w*\d)\(", models, re.MULTILINE) == []


def check(found: dict[str, Any], name: str) -> None:
    """What both programs must have found."""
    assert found["version"] == 1
    assert found["answer"] == {"result": 2}
    assert found["schedules"] == ["@daily"]
    assert name in found["names"]
    assert len(found["names"]) == len(set(found["names"]))
    assert found["missing"] == [404, "FN_001"]
    assert found["taken"] == [409, "FN_014"]
    assert found["invalid"][0] == 422
    assert found["unknown_key"] == [401, "FN_010"]


def test_a_typescript_client_works(place: Path, server: Server, name: str) -> None:
    run(place, bin_of("openapi-typescript"), "openapi.json", "--output", "api.d.ts")
    run(place, bin_of("tsc"))
    said = run(place, "node", "out/client.js", f"http://127.0.0.1:{server.port}", server.key, name)
    found = json.loads(said)
    check(found, name)
    assert found["followed"] is True


def test_a_python_client_works(place: Path, server: Server, name: str) -> None:
    said = run(
        place,
        PYTHON / "openapi-python-client",
        *("generate", "--path", "openapi.json", "--output-path", "generated", "--overwrite", "--fail-on-warning"),
    )
    assert "warning" not in said.lower(), said
    said = run(
        place,
        PYTHON / "python",
        *("client.py", f"http://127.0.0.1:{server.port}", server.key, name),
        PYTHONPATH=str(place / "generated"),
    )
    check(json.loads(said), name)
