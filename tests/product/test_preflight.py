"""Preflight: secrets and what the operator blocks are refused here and there, with their place and never in full."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Reply, Server, write_function

from product.blobs import deploy_raw, file_body

GOOD = "def handler():\n    return 'fine'\n"
# Put together at run time, so that no key-like text stands in the tree.
AWS = "AKIA" + "Q3EGRIBSD7XWZ2YT"
GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    """A server whose operator blocks files, text and imports."""
    with Server() as server:
        server.stop()
        config = server.home / "server.toml"
        config.write_text(
            "[preflight]\nblocked_files = ['*.pem']\nblocked_text = ['(?i)internal use only']\n"
            "blocked_imports = ['ctypes']\n",
            encoding="utf-8",
        )
        server.args += ["--config", str(config)]
        yield server.start()


def test_a_secret_is_found_here_with_its_place(server: Server, tmp_path: Path, name: str) -> None:
    folder = write_function(tmp_path, name, {"main.py": GOOD, "conf/keys.py": f"# keys\nKEY = '{AWS}'\n"})
    for command in ("validate", "deploy"):
        result = server.cli(command, folder).exits(5)
        assert "error[FN_028]: conf/keys.py:2:8: an AWS access key id" in result.stderr
        assert AWS not in result.stderr + result.stdout, "a secret is never shown in full"
    report = server.cli("validate", folder, "-o", "json").exits(5).json()
    assert report["valid"] is False
    found = report["findings"][0]
    place = (found["rule"], found["severity"], found["file"], found["line"], found["column"], found["code"])
    assert place == ("aws-access-key", "error", "conf/keys.py", 2, 8, "FN_028")
    assert "faas:allow-secret" in found["fix"]


def test_the_server_searches_what_no_command_line_has_seen(server: Server, name: str) -> None:
    reply = deploy_raw(server, name, {"main.py": GOOD + f"# {GITHUB}\n"})
    problem = reply.expect(422).json()
    assert problem["code"] == "FN_028"
    assert "main.py:3:3: a GitHub token" in problem["detail"]
    assert GITHUB not in json.dumps(problem)
    server.http.get(f"/api/v1/functions/{name}").expect(404)


def test_what_is_no_secret_is_allowed_by_line_or_manifest(server: Server, tmp_path: Path, name: str) -> None:
    marked = write_function(tmp_path / "a", name, f"KEY = '{AWS}'  # faas:allow-secret\n{GOOD}")
    assert server.deploy(marked)["version"] == 1
    named = write_function(tmp_path / "b", name, f"KEY = '{AWS}'\n{GOOD}")
    manifest = named / "faas.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text + "[preflight]\nallow_secrets = ['main.py:jwt']\n", encoding="utf-8")
    assert "FN_028" in server.cli("deploy", named).exits(5).stderr, "another rule allows nothing"
    manifest.write_text(text + "[preflight]\nallow_secrets = ['main.py:aws-access-key']\n", encoding="utf-8")
    assert server.deploy(named)["version"] == 2
    manifest.write_text(text + "[preflight]\nallow_secrets = ['main.py:aws-acess-key']\n", encoding="utf-8")
    said = server.cli("deploy", named).exits(5).stderr
    assert "FN_006" in said
    assert "aws-access-key" in said, "a rule that was meant is named"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"tls/server.pem": "x"}, ["tls/server.pem", "*.pem"]),
        ({"notes.md": "# For Internal Use Only\n"}, ["notes.md:1:7", "internal use only"]),
        ({"util.py": "import os\nfrom ctypes import CDLL\n"}, ["util.py:2:6", "ctypes"]),
    ],
)
def test_what_the_operator_blocks_is_refused(
    strict: Server, tmp_path: Path, name: str, files: dict[str, str], words: list[str]
) -> None:
    short = name[:40].strip("-")
    said = strict.cli("deploy", write_function(tmp_path, short, {"main.py": GOOD} | files)).exits(5).stderr
    assert "FN_028" in said
    for word in words:
        assert word in said
    assert deploy_raw(strict, short, {"main.py": GOOD} | files).expect(422).json()["code"] == "FN_028"


def test_a_blocked_file_is_refused_before_it_is_uploaded(strict: Server, name: str) -> None:
    reply = strict.http.post("/api/v1/blobs/check", {"files": [file_body("a.pem", b"never sent")]})
    assert reply.expect(422).json()["code"] == "FN_028"


def test_a_policy_that_is_none_stops_the_start() -> None:
    with Server() as server:
        server.stop()
        config = server.home / "bad.toml"
        config.write_text("[preflight]\nblocked_text = ['(']\n", encoding="utf-8")
        server.args += ["--config", str(config)]
        server.spawn().wait(30)
        assert server.pid_status() != 0
        assert "preflight.blocked_text" in server.log()


def test_validate_mends_what_has_one_way_out(server: Server, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "x", {"main.py": GOOD, ".env": "TOKEN=1\n", "sub/.env": "TOKEN=2\n"})
    (folder / "faas.toml").write_text('# mine\nname = "My Function"  # its name\n', encoding="utf-8")
    (folder / ".faasignore").write_text("!.env", encoding="utf-8")
    (folder / ".git").mkdir()
    server.cli("validate", folder).exits(5)
    result = server.cli("validate", folder, "--fix", "-o", "json").ok()
    assert result.json()["name"] == "my-function"
    assert 'name = "my-function"  # its name' in (folder / "faas.toml").read_text(encoding="utf-8")
    assert (folder / ".gitignore").read_text(encoding="utf-8") == ".env\n"
    ignored = (folder / ".faasignore").read_text(encoding="utf-8").splitlines()
    assert set(ignored) == {"!.env", "/.env", "/sub/.env"}
    again = server.cli("validate", folder, "-o", "json").ok().json()
    assert again["findings"] == [], "nothing is left to tell"


def test_all_findings_come_at_once(server: Server, tmp_path: Path, name: str) -> None:
    files = {"main.py": f"def handler(:\n  pass\n# {AWS}\n", "b.py": f"x = '{GITHUB}'\n"}
    report = server.cli("validate", write_function(tmp_path, name, files), "-o", "json").exits(5).json()
    rules: list[Any] = [finding["rule"] for finding in report["findings"]]
    assert sorted(rules) == ["aws-access-key", "github-token", "syntax"]
    assert len(report["problems"]) == 3


def test_a_deployment_of_nothing_but_keys_is_bounded(server: Server, name: str) -> None:
    files = {f"k{n}.txt": f"{AWS}\n" * 20_000 for n in range(20)}
    reply: Reply = deploy_raw(server, name, {"main.py": GOOD} | files)
    problem = reply.expect(422).json()
    assert problem["code"] == "FN_028"
    assert len(problem["detail"]) < 4_000
