"""The pipelines to copy: GitHub's is run step by step as its runner would, the others must at least say the same."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import Client, Server, write_function
from harness.paths import ROOT, binary

from product.functions import ADD

TEMPLATES = ROOT / "docs" / "ci"


@dataclass
class Runner:
    """Runs the steps of a job in a checkout, with what the template's expressions stand for."""

    checkout: Path
    home: Path
    values: dict[str, str]
    env: dict[str, str]
    ran: list[str] = field(default_factory=list)

    def run(self, workflow: dict[str, Any]) -> None:
        job = workflow["jobs"]["deploy"]
        path_file = self.home / "path"
        path_file.touch()
        env = {name: self.fill(value) for name, value in job["env"].items()} | self.env
        for step in job["steps"]:
            if "uses" in step:
                continue
            if not self.holds(step.get("if", "true")):
                continue
            paths = [*path_file.read_text("utf-8").split(), "/usr/local/bin", "/usr/bin", "/bin"]
            done = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", self.fill(step["run"])],
                cwd=self.checkout,
                env=env | {"PATH": ":".join(paths), "HOME": str(self.home), "GITHUB_PATH": str(path_file)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, f"{step['name']}: {done.stdout}{done.stderr}"
            assert self.env_key() not in done.stdout + done.stderr
            self.ran.append(step["name"])

    def env_key(self) -> str:
        return self.values["secrets.FAAS_API_KEY"]

    def fill(self, text: str) -> str:
        return re.sub(r"\$\{\{ *(.*?) *\}\}", lambda found: self.values[found.group(1)], text)

    def holds(self, condition: str) -> bool:
        if condition == "true":
            return True
        name, wanted = re.fullmatch(r"(\S+) == '(\S+)'", condition).groups()  # type: ignore[union-attr]
        return self.values[name] == wanted


@pytest.fixture
def runner(server: Server, tmp_path: Path, name: str) -> Runner:
    key = server.cli("keys", "create", name, "--scope", "deploy", "-o", "json").ok().json()["key"]
    home = tmp_path / "home"
    home.mkdir()
    values = {
        "vars.FAAS_ENDPOINT": f"http://127.0.0.1:{server.port}",
        "vars.FAAS_BINARY_URL": f"file://{binary()}",
        "secrets.FAAS_API_KEY": key,
        "github.event_name": "push",
        "github.event.number": "12",
    }
    return Runner(write_function(tmp_path, name, ADD), home, values, {"GITHUB_SHA": "5b2bbcc"})


def github() -> dict[str, Any]:
    return yaml.safe_load((TEMPLATES / "github-actions.yml").read_text("utf-8"))


def test_githubs_pipeline_previews_and_deploys(runner: Runner, server: Server, name: str) -> None:
    runner.run(github())
    assert runner.ran == ["Install faas", "Check", "Deploy"]
    assert server.api.invoke(name, {"x": 1, "y": 2}).expect(200).json() == {"result": 3}
    assert server.cli("fn", "versions", name, "-o", "json").ok().json()["items"][0]["note"] == "5b2bbcc"

    (runner.checkout / "main.py").write_text("def handler(x: int, y: int):\n    return x * y\n", "utf-8")
    runner.ran.clear()
    runner.values["github.event_name"] = "pull_request"
    runner.run(github())
    assert runner.ran == ["Install faas", "Check", "Preview"]
    assert server.api.invoke(name, {"x": 1, "y": 2}).expect(200).json() == {"result": 3}
    assert server.api.invoke(f"{name}:pr-12", {"x": 1, "y": 2}).expect(200).json() == {"result": 2}


def test_a_pipelines_key_deploys_and_does_nothing_else(runner: Runner, server: Server, name: str) -> None:
    runner.run(github())
    client = Client(server.port, runner.env_key())
    for method, path in (("POST", f"/fn/{name}/"), ("GET", "/api/v1/runs"), ("POST", "/api/v1/keys")):
        assert client.request(method, path, {}).status == 403


@pytest.mark.parametrize("template", sorted(path.name for path in TEMPLATES.iterdir() if path.name != "README.md"))
def test_every_pipeline_checks_deploys_and_names_the_scope(template: str) -> None:
    text = (TEMPLATES / template).read_text("utf-8")
    for words in ("faas validate", "faas deps --check", "faas deploy -m", "--scope deploy", "FAAS_BINARY_URL"):
        assert words in text
    if template.endswith(".yml"):
        yaml.safe_load(text)
