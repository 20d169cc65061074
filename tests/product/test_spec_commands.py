"""Every command that the specifications name literally, run as it stands there. docs/cli.md has the table."""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
from pathlib import Path

import pytest
from harness import Cli, CliResult, Server, until
from harness.paths import ROOT, binary

from product.developer import Dev, Developer

# Of the Python SDK's specification; they need sandboxes that are used by hand.
PENDING = [
    "faas execute \"echo 'Hello World'\" --env alpine-fast",
    "faas execute script.py --env python-ai --timeout 60",
    "faas env list",
    "faas env create my-env --base rust:latest --cache aggressive",
    'faas snapshot create --execution-id abc123 --name "checkpoint-1"',
    "faas snapshot restore checkpoint-1 --branch 5",
]
FUNCTION_CONFIG = """\
// function.config.ts
export default {
  runtime: "RUNTIME",
  handler: "index.handler",
  memory: 512, // MB
  timeout: 30, // seconds
  environment: {
    NODE_ENV: "production",
  },
  triggers: [
    { type: "http", path: "/", methods: ["GET", "POST"] },
    { type: "schedule", cron: "0 0 * * *", timezone: "UTC" },
  ],
  scaling: { minInstances: 0, maxInstances: 10, targetConcurrency: 10 },
  vpc: { enabled: false, subnetIds: [] },
};
"""


class Shell:
    """Runs a command line as it is written, through a link of the name that it begins with."""

    def __init__(self, server: Server, bin_folder: Path, cwd: Path) -> None:
        self.server, self.bin, self.cwd = server, bin_folder, cwd
        self.env = server.env | {"FAAS_ENDPOINT": f"http://127.0.0.1:{server.port}", "FAAS_API_KEY": server.key}
        for name in ("faas", "fastapi-platform", "bunbase"):
            (bin_folder / name).symlink_to(binary())

    def __call__(self, line: str, *, stdin: str | None = None, timeout: float = 60) -> CliResult:
        program, *words = shlex.split(line)
        return Cli(self.bin / program, self.env)(*words, cwd=self.cwd, stdin=stdin, timeout=timeout)


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    links, work = tmp_path / "bin", tmp_path / "spec-function"
    links.mkdir()
    work.mkdir()
    return Shell(server, links, work)


def test_the_commands_of_function_mode(shell: Shell) -> None:
    assert "next: faas deploy" in shell("fastapi-platform init").ok().stderr
    shell("fastapi-platform validate").ok()
    with Dev(Developer(shell.cwd.parent), shell.cwd, program=shell.bin / "fastapi-platform") as dev:
        assert dev.starts()["function"] == "spec-function"
    shell("fastapi-platform deploy").ok()
    assert shell("fastapi-platform invoke").ok().json() == {"message": "hello, world"}
    run = shell("fastapi-platform runs -o json").ok().json()["items"][0]
    assert run["function"] == "spec-function"
    lines = shell("fastapi-platform logs").ok().stdout
    assert "greeting world" in lines
    (shell.cwd / "main.py").write_text("def handler(event, context):\n    return 'second'\n", encoding="utf-8")
    shell("fastapi-platform deploy").ok()
    assert shell("fastapi-platform invoke").ok().stdout == "second"
    shell("fastapi-platform rollback").ok()
    assert shell("fastapi-platform invoke").ok().json() == {"message": "hello, world"}


def test_vars_are_pulled_and_pushed(shell: Shell) -> None:
    shell("fastapi-platform init").ok()
    shell("fastapi-platform deploy").ok()
    shell("fastapi-platform env pull").ok()
    env = shell.cwd / ".env"
    assert "GREETING" in env.read_text(encoding="utf-8")
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    env.write_text("GREETING=howdy\n", encoding="utf-8")
    shell("fastapi-platform env push").ok()
    assert shell("fastapi-platform invoke").ok().json() == {"message": "howdy, world"}


def test_a_log_is_followed(shell: Shell) -> None:
    shell("fastapi-platform init").ok()
    shell("fastapi-platform deploy").ok()
    seen = shell.cwd.parent / "followed"
    with seen.open("wb") as out:
        words = [str(shell.bin / "fastapi-platform"), "logs", "--follow"]
        following = subprocess.Popen(words, env=shell.env, cwd=shell.cwd, stdin=subprocess.DEVNULL, stdout=out)
    try:
        shell('fastapi-platform invoke -d \'{"name": "Grace"}\'').ok()
        until(lambda: "greeting Grace" in seen.read_text(encoding="utf-8"), "the line is followed")
    finally:
        following.kill()
        following.wait()


@pytest.mark.needs("npm")
def test_the_commands_of_the_functions_service(shell: Shell, server: Server) -> None:
    runtimes = [row["name"] for row in server.http.get("/api/v1/system").expect(200).json()["runtimes"]]
    node = next(name for name in runtimes if name.startswith("node"))
    # The name of the runtime is the specification's where this machine has that version.
    here = node.replace("node", "nodejs")
    shell("bunbase functions init my-function --runtime nodejs20".replace("nodejs20", here)).ok()
    shell.cwd = shell.cwd / "my-function"
    (shell.cwd / "test-event.json").write_text('{"name": "Ada"}', encoding="utf-8")
    with Dev(Developer(shell.cwd.parent), shell.cwd, program=shell.bin / "bunbase", group=("functions",)) as dev:
        assert dev.starts()["function"] == "my-function"
    assert "1 passed" in shell("bunbase functions test --event test-event.json").ok().stdout
    shell("bunbase functions deploy my-function").ok()
    assert server.api.invoke("my-function", {"name": "Ada"}).expect(200).json() == {"message": "hello, Ada"}


@pytest.mark.needs("npm")
def test_the_configuration_of_the_functions_service(shell: Shell, server: Server) -> None:
    runtimes = [row["name"] for row in server.http.get("/api/v1/system").expect(200).json()["runtimes"]]
    node = next(name for name in runtimes if name.startswith("node"))
    config = shell.cwd / "function.config.ts"
    config.write_text(FUNCTION_CONFIG.replace("RUNTIME", node), encoding="utf-8")
    code = "export async function handler(req) {\n  return Response.json({ env: process.env.NODE_ENV });\n}\n"
    (shell.cwd / "index.mjs").write_text(code, encoding="utf-8")
    shell("bunbase functions deploy my-configured").ok()
    view = server.api.function("my-configured")["settings"]
    assert (view["memory"], view["entrypoint"], view["scaling"]["concurrency"]) == ("512MB", "index:handler", 10)
    assert server.api.invoke("my-configured").expect(200).json() == {"env": "production"}
    config.write_text(config.read_text(encoding="utf-8").replace("enabled: false", "enabled: true"), encoding="utf-8")
    refused = shell("bunbase functions deploy my-configured").exits(5).stderr
    assert "function.config.ts:15:" in refused and "`vpc.enabled` is not supported" in refused


@pytest.mark.parametrize("line", PENDING)
def test_what_needs_sandboxes_says_so(shell: Shell, line: str) -> None:
    refused = shell(line).exits(1)
    assert "is not built yet" in refused.stderr and refused.stdout == ""


def test_the_table_of_the_reference_names_each() -> None:
    reference = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    words = ["init", "dev", "validate", "deploy", "invoke", "logs --follow", "runs", "env pull", "env push", "rollback"]
    lines = [f"fastapi-platform {word}" for word in words]
    lines += ["bunbase functions init my-function --runtime nodejs20", "bunbase functions dev"]
    lines += ["bunbase functions test --event test-event.json", "bunbase functions deploy my-function"]
    lines += PENDING
    missing = [line for line in lines if f"`{line}`" not in reference]
    assert not missing, json.dumps(missing, indent=1)
