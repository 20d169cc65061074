"""Where the settings of a version came from, as `faas functions get` and the API tell it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness import Server

from product.blobs import deploy_raw, upload

CODE = "def handler():\n    return 'fine'\n"


def origins(view: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """Value and origin of each key."""
    return {row["key"]: (row["value"], row["from"]) for row in view["manifest"]}


def folder(home: Path, files: dict[str, str]) -> Path:
    """A directory with these files."""
    for path, text in files.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text, encoding="utf-8")
    return home


def test_each_key_names_its_line(server: Server, tmp_path: Path, name: str) -> None:
    manifest = (
        f'name = "{name}"\n# a remark\ntimeout = "5s"\ndescription = "says fine"\n\n'
        '[vars]\nPLAIN = "1"\nTOKEN = "a ${secrets.SOME_TOKEN}"\n\n[scaling]\nmax = 3\n'
    )
    server.cli("secrets", "set", "SOME_TOKEN", stdin="x" * 8).ok()
    server.deploy(folder(tmp_path, {"faas.toml": manifest, "main.py": CODE}))
    found = origins(server.cli("fn", "get", name, "-o", "json").ok().json())
    assert found["name"] == (name, "faas.toml:1")
    assert found["timeout"] == ("5s", "faas.toml:3")
    assert found["description"] == ("says fine", "faas.toml:4")
    assert found["vars.PLAIN"] == ("1", "faas.toml:7")
    assert found["vars.TOKEN"] == ("a ${secrets.SOME_TOKEN}", "faas.toml:8; secrets are put in")
    assert found["scaling.max"] == (3, "faas.toml:11")
    assert found["memory"] == ("128MB", "default")
    assert found["background.retry.max_attempts"] == (3, "default")
    assert found["canary"] == found["cache"] == (None, "default")
    assert found["runtime"][1] == "default"
    table = server.cli("fn", "get", name).ok().stdout
    rows = [line.split() for line in table.splitlines()]
    for row in (["SETTING", "VALUE", "FROM"], ["timeout", "5s", "faas.toml:3"], ["memory", "128MB", "default"]):
        assert row in rows
    version = server.http.get(f"/api/v1/functions/{name}/versions/1").expect(200).json()
    assert origins(version) == found
    for path in ("/api/v1/functions", f"/api/v1/functions/{name}/versions"):
        assert b'"manifest"' not in server.http.get(path).expect(200).body, "lists stay short"
    server.cli("vars", "set", name, "PLAIN=2").ok()
    found = origins(server.http.get(f"/api/v1/functions/{name}").expect(200).json())
    assert found["vars.PLAIN"] == ("1", "faas.toml:7; a var of the function replaces it")


def test_other_files_and_flags_are_named(server: Server, tmp_path: Path, name: str) -> None:
    def deployed(path: Path, *args: str) -> dict[str, tuple[Any, str]]:
        server.deploy(path, *args)
        return origins(server.http.get(f"/api/v1/functions/{name}").expect(200).json())

    yaml = folder(tmp_path / "a", {"platform.yaml": f"name: {name}\nenv:\n  A: b\n", "main.py": CODE})
    assert deployed(yaml)["vars.A"] == ("b", "platform.yaml:3")
    script = (
        "export default {\n  name: 'other',\n  runtime: 'python3',\n  handler: 'main.handler',\n  memory: 256,\n};\n"
    )
    config = folder(tmp_path / "b", {"function.config.ts": script, "main.py": CODE})
    found = deployed(config, "--name", name)
    assert found["name"] == (name, "--name")
    assert found["memory"] == ("256MB", "function.config.ts:5")
    assert found["entrypoint"] == ("main:handler", "function.config.ts:4")
    single = folder(tmp_path / "c", {"some_file.py": "def go():\n    return 1\n"}) / "some_file.py"
    found = deployed(single, "--name", name, "--entrypoint", "some_file:go")
    assert found["runtime"][1] == "detected: some_file.py"
    assert found["entrypoint"] == ("some_file:go", "--entrypoint")


def test_what_functions_share_says_so(server: Server, tmp_path: Path, name: str) -> None:
    text = f'timeout = "7s"\n[functions.{name}]\npath = "x"\nmemory = "256MB"\n[functions.{name}-b]\npath = "x"\n'
    server.deploy(folder(tmp_path, {"faas.toml": text, "x/main.py": CODE}))
    found = origins(server.http.get(f"/api/v1/functions/{name}").expect(200).json())
    assert found["timeout"] == ("7s", "faas.toml:1, shared")
    assert found["memory"] == ("256MB", "faas.toml:4")
    other = origins(server.http.get(f"/api/v1/functions/{name}-b").expect(200).json())
    assert other["memory"] == ("128MB", "default")


def test_a_client_that_says_nothing_is_the_origin_itself(server: Server, name: str) -> None:
    deploy_raw(server, name, {"main.py": CODE}).expect(201)
    found = origins(server.http.get(f"/api/v1/functions/{name}").expect(200).json())
    assert found["name"] == (name, "request")
    assert found["timeout"] == ("30s", "default")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"tiemout": "x"}, "origins.tiemout: the manifest has no such key"),
        ({"vars.A": "x"}, "origins.vars.A: the manifest has no such key"),
        ({"timeout": ""}, "origins.timeout: an origin has 1 to 200 bytes"),
        ({"timeout": "x" * 201}, "origins.timeout: an origin has 1 to 200 bytes"),
        ({"timeout": "a\u001b[31m"}, "origins.timeout: an origin has 1 to 200 bytes"),
        ({f"vars.{n}": "x" for n in range(5_000)}, "the manifest has no such key"),
    ],
)
def test_origins_from_outside_are_checked(server: Server, name: str, said: dict[str, str], words: str) -> None:
    body = {"manifest": {"name": name}, "files": upload(server, {"main.py": CODE}), "origins": said}
    problem = server.http.post(f"/api/v1/functions/{name}/deploy", body).expect(422).json()
    assert problem["code"] == "FN_006"
    assert words in problem["detail"]
    assert len(json.dumps(problem)) < 1_000
