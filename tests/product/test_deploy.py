"""Deployments: what is wrong is said with its place and its fix, and the old version serves on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Server, write_function
from harness.cli import CliResult

from product.functions import ADD

GOOD = "def handler():\n    return 'old'\n"


@pytest.fixture
def old(server: Server, tmp_path: Path, name: str) -> str:
    """A deployed function that the test then fails to replace."""
    server.deploy(write_function(tmp_path / "old", name, GOOD))
    assert server.api.invoke(name).expect(200).json() == {"result": "old"}
    return name


def refused(server: Server, folder: Path, code: str, *words: str, exit_code: int = 5) -> CliResult:
    """The deployment fails with this code and says these words; the old version still answers."""
    result = server.cli("deploy", folder, timeout=180).exits(exit_code)
    assert result.stdout == "", "a failure has no data"
    for word in (code, *words):
        assert word in result.stderr, f"`{word}` is not in:\n{result.stderr}"
    assert server.api.invoke(folder.name).expect(200).json() == {"result": "old"}
    assert server.api.function(folder.name)["version"] == 1
    return result


def test_an_entrypoint_that_does_not_exist(server: Server, tmp_path: Path, old: str) -> None:
    folder = write_function(tmp_path / "new", old, "def hanlder():\n    return 1\n")
    refused(server, folder, "FN_005", "handler", "did you mean", "hanlder")


def test_a_file_that_does_not_exist(server: Server, tmp_path: Path, old: str) -> None:
    folder = write_function(tmp_path / "new", old, {"app.py": GOOD}, entrypoint="ap:handler")
    refused(server, folder, "FN_00", "did you mean", "app:handler")


def test_a_syntax_error_has_its_place(server: Server, tmp_path: Path, old: str) -> None:
    folder = write_function(tmp_path / "new", old, "x = 1\n\ndef handler(:\n    return x\n")
    refused(server, folder, "FN_005", "main.py", "3", "def handler(:", "^")


def test_a_missing_package_is_named(server: Server, tmp_path: Path, old: str) -> None:
    folder = write_function(tmp_path / "new", old, "import yaml\n\ndef handler():\n    return 1\n")
    refused(server, folder, "FN_005", "yaml", "PyYAML")


def test_an_exception_at_import(server: Server, tmp_path: Path, old: str) -> None:
    folder = write_function(tmp_path / "new", old, "def handler():\n    return 1\n\nraise RuntimeError('no luck')\n")
    refused(server, folder, "FN_005", "RuntimeError", "no luck", "main.py", "4")


def test_an_import_that_never_ends(server: Server, tmp_path: Path, old: str) -> None:
    folder = write_function(tmp_path / "new", old, "while True:\n    pass\n")
    result = server.cli("deploy", folder, timeout=180)
    assert result.code in (5, 8), result.stderr
    assert server.api.invoke(old).expect(200).json() == {"result": "old"}


def test_a_runtime_that_is_not_here(server: Server, tmp_path: Path, old: str) -> None:
    folder = write_function(tmp_path / "new", old, GOOD, runtime="python3.99")
    refused(server, folder, "FN_019", "python3.")


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ('name = "x"\nruntimee = "python"\n', ["runtimee", "did you mean", "runtime"]),
        ('name = "Not A Name"\n', ["name"]),
        ('name = "x"\ntimeout = "3 days"\n', ["timeout"]),
        ('name = "x"\ntimeout = "16m"\n', ["timeout"]),
        ('name = "x"\nmemory = "5GB"\n', ["memory"]),
        ('name = "x"\nauth = "open"\n', ["auth", "public"]),
        ('name = "x"\n[scaling]\nmin = 5\nmax = 1\n', ["scaling"]),
        ('name = "x"\n[[triggers]]\ntype = "htpp"\n', ["http"]),
        ("name = \n", ["faas.toml"]),
        ('name = "x"\nentrypoint = "../evil:handler"\n', ["entrypoint"]),
    ],
)
def test_a_wrong_manifest(server: Server, tmp_path: Path, manifest: str, words: list[str]) -> None:
    folder = write_function(tmp_path, "x", GOOD)
    (folder / "faas.toml").write_text(manifest, encoding="utf-8")
    for command in ("validate", "deploy"):
        said = server.cli(command, folder).exits(5).stderr
        assert "FN_006" in said
        for word in words:
            assert word in said, f"`{word}` is not in what `{command}` said:\n{said}"


def test_a_directory_without_a_manifest(server: Server, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    result = server.cli("deploy", empty)
    assert result.code in (2, 5), result.stderr
    assert "faas.toml" in result.stderr
    missing = server.cli("deploy", tmp_path / "nowhere")
    assert missing.code in (2, 4, 5)
    assert "nowhere" in missing.stderr


def test_a_single_file(server: Server, tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name}.py"
    file.write_text(ADD, encoding="utf-8")
    deployed = server.deploy(file)
    assert deployed["function"] == name
    assert server.api.invoke(name, {"x": 5, "y": 10}).expect(200).json() == {"result": 15}
    other = server.deploy(file, "--name", f"{name[:55]}-other")
    assert other["function"] == f"{name[:55]}-other"


def test_versions_count_up_and_roll_back(server: Server, tmp_path: Path, old: str) -> None:
    folder = write_function(tmp_path / "new", old, "def handler():\n    return 'new'\n")
    assert server.deploy(folder)["version"] == 2
    reply = server.api.invoke(old).expect(200)
    assert (reply.json(), reply.headers["x-function-version"]) == ({"result": "new"}, "2")
    back = server.http.post(f"/api/v1/functions/{old}/rollback", {})
    assert back.status in (200, 201), back.body
    assert back.json()["version"] == 1
    assert server.api.invoke(old).expect(200).json() == {"result": "old"}


def test_a_deployment_drops_no_call(server: Server, tmp_path: Path, old: str) -> None:
    """Calls keep being answered, by the old version or the new one, while versions change."""

    def calls(_: int) -> set[str]:
        return {str(server.api.invoke(old).expect(200).json()["result"]) for _ in range(60)}

    with ThreadPoolExecutor(3) as callers:
        running = [callers.submit(calls, number) for number in range(3)]
        for version in range(3):
            code = f"def handler():\n    return 'new {version}'\n"
            server.deploy(write_function(tmp_path / f"new{version}", old, code))
        answers = set().union(*(each.result() for each in running))
    assert answers <= {"old", "new 0", "new 1", "new 2"}
    assert server.api.invoke(old).expect(200).json() == {"result": "new 2"}


def test_two_deployments_at_once(server: Server, tmp_path: Path, old: str) -> None:
    folders = [
        write_function(tmp_path / f"at-once-{number}", old, f"def handler():\n    return {number}\n")
        for number in range(2)
    ]
    with ThreadPoolExecutor(2) as hands:
        results = list(hands.map(lambda folder: server.cli("deploy", folder, "-o", "json", timeout=180), folders))
    done = [result for result in results if result.code == 0]
    assert done, [result.stderr for result in results]
    for result in results:
        # Both may have found a time of their own; one that did not says so.
        assert result.code in (0, 6), result.stderr
        if result.code == 6:
            assert "FN_014" in result.stderr
    versions = sorted(result.json()["version"] for result in done)
    assert versions == list(range(2, 2 + len(done)))
    live = server.api.function(old)["version"]
    assert live in versions
    winner = next(n for n, result in enumerate(results) if result.code == 0 and result.json()["version"] == live)
    assert server.api.invoke(old).expect(200).json() == {"result": winner}


def test_only_what_is_missing_is_uploaded(server: Server, tmp_path: Path, old: str) -> None:
    """The server knows files by their content: the same file under another function needs no upload."""
    big = "# " + "x" * 500_000 + "\n"
    server.deploy(write_function(tmp_path / "one", old, {"main.py": GOOD, "big.py": big}))
    log_before = server.http.get("/metrics").body
    server.deploy(write_function(tmp_path / "two", f"{old[:50]}-twin", {"main.py": GOOD, "big.py": big}))
    assert log_before, "metrics answer"
    assert server.api.invoke(f"{old[:50]}-twin").expect(200).json() == {"result": "old"}


def test_delete(server: Server, tmp_path: Path, old: str) -> None:
    server.cli("fn", "delete", old, "--yes").ok()
    server.api.invoke(old).expect(404)
    server.cli("fn", "get", old).exits(4)
    assert server.deploy(write_function(tmp_path / "again", old, GOOD))["version"] == 1
