"""Layers that people name: published, used from Python and Node, immutable, kept while something stands on them."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server, write_function
from harness.index import PythonIndex, wheel
from harness.paths import ROOT

HANDLER = """
import shared


def handler():
    with open("/opt/layers/{layer}/data.txt") as data:
        return {{"said": shared.SAID, "data": data.read()}}
"""
# In two parts, so that nobody takes it for one that was left here.
SECRET = "KEY = 'AKIA" + "Q3EGRIBSD7XWZ2YT'\n"
NODE = """
import { say } from "words";
import { createRequire } from "node:module";
import fs from "node:fs";

export const handler = () => ({
  said: say(),
  required: createRequire(import.meta.url)("words").say(),
  data: fs.readFileSync("/opt/layers/%s/data.txt", "utf8"),
});
"""


@pytest.fixture(scope="module")
def index() -> Iterator[PythonIndex]:
    """An index with one package."""
    with PythonIndex() as index:
        index.add(wheel("greeting", "1.0", {"greeting/__init__.py": "def hello():\n    return 'hello 1'\n"}))
        yield index


@pytest.fixture(scope="module")
def house(index: PythonIndex) -> Iterator[Server]:
    """A server whose builds use that index."""
    with Server(env={"FAAS_BUILD_INDEXES_PYPI": index.url}) as server:
        yield server


def files(folder: Path, **texts: str) -> Path:
    """A directory of a layer: names with `__` for a slash and `_dot_` for a dot."""
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def publish(server: Server, name: str, source: Path, *more: str) -> dict[str, Any]:
    """Publishes a directory and returns the version."""
    return server.cli("layers", "publish", name, str(source), "-o", "json", *more).ok().json()


def said(server: Server, name: str) -> Any:
    """What a function answers; a plain handler of Python answers with a `result`."""
    answer = server.api.invoke(name).expect(200).json()
    return answer.get("result", answer)


def test_a_version_stands_on_the_layers_of_its_deployment(house: Server, tmp_path: Path) -> None:
    lib = files(tmp_path / "lib", shared_dot_py="SAID = 'one'\n", data_dot_txt="first")
    first = publish(house, "words", lib, "--runtime", "python", "-m", "the first")
    assert (first["reference"], first["runtimes"], first["note"], first["files"]) == (
        "words:1",
        ["python"],
        "the first",
        2,
    )
    code = HANDLER.format(layer="words")
    pinned = write_function(tmp_path, "pinned", code, layers=["words:1"])
    newest = write_function(tmp_path, "newest", code, layers=["words"])
    house.deploy(pinned), house.deploy(newest)
    one, two = {"said": "one", "data": "first"}, {"said": "two", "data": "second"}
    assert said(house, "pinned") == said(house, "newest") == one
    files(lib, shared_dot_py="SAID = 'two'\n", data_dot_txt="second")
    assert publish(house, "words", lib)["reference"] == "words:2"
    assert said(house, "newest") == one, "a version does not change"
    house.cli("invoke", "newest:1").ok()
    (newest / "more.py").write_text("")
    house.deploy(newest)
    assert (said(house, "pinned"), said(house, "newest")) == (one, two)
    assert house.api.function("newest")["settings"]["layers"] == ["words:2"]
    assert "words:2" in house.cli("fn", "get", "newest").ok().stdout
    diff = house.cli("fn", "diff", "newest", "1", "2", "-o", "json").ok().json()
    assert {"key": "layers", "from": ["words:1"], "to": ["words:2"]} in diff["settings"]
    house.cli("rollback", "newest").ok()
    assert said(house, "newest") == one, "a rollback goes back to the old layer"
    # Not from what the server remembers, but from its disk.
    house.stop()
    house.start()
    assert said(house, "newest") == one

    refused = house.cli("layers", "remove", "words:1", "--yes").exits(6)
    assert "newest (1)" in refused.stderr and "pinned (1)" in refused.stderr
    house.cli("layers", "remove", "words", "--all", "--yes").exits(6)
    house.cli("fn", "delete", "newest", "--yes").ok()
    house.cli("layers", "remove", "words:2", "--yes").ok()
    house.cli("layers", "get", "words:2").exits(4)
    assert publish(house, "words", lib)["version"] == 3, "a number is given once"
    shown = house.cli("layers", "versions", "words", "-o", "json").ok().json()["items"]
    assert [row["version"] for row in shown] == [3, 1]
    assert shown[1]["used_by"] == {"pinned": [1]}
    assert "words:3" in house.cli("layers", "list").ok().stdout
    assert "data.txt" in house.cli("layers", "get", "words:1").ok().stdout


def test_node_finds_packages_of_layers(house: Server, tmp_path: Path) -> None:
    package = {
        "node_modules__words__index_dot_js": "exports.say = () => 'said';\n",
        "node_modules__words__package_dot_json": json.dumps({"name": "words", "version": "1.0.0"}),
        "data_dot_txt": "of node",
    }
    publish(house, "node-words", files(tmp_path / "lib", **package), "--runtime", "node")
    function = write_function(
        tmp_path, "speaks", {"index.mjs": NODE % "node-words"}, runtime="node", layers=["node-words:1"]
    )
    house.deploy(function)
    assert said(house, "speaks") == {"said": "said", "required": "said", "data": "of node"}


def test_what_aws_calls_a_layer_works_as_it_is(house: Server, tmp_path: Path) -> None:
    archive = tmp_path / "layer.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("python/shared.py", "SAID = 'from python/'\n")
    publish(house, "zipped", archive)
    code = "import shared\n\n\ndef handler():\n    return shared.SAID\n"
    house.deploy(write_function(tmp_path, "unzipped", code, layers=["zipped"]))
    assert said(house, "unzipped") == "from python/"


def test_the_first_layer_wins_and_the_code_before_all(house: Server, tmp_path: Path) -> None:
    for name in ("upper", "lower"):
        publish(house, name, files(tmp_path / name, which_dot_py=f"NAME = '{name}'\n", own_dot_py=f"NAME = '{name}'\n"))
    code = "import own, which\n\n\ndef handler():\n    return [own.NAME, which.NAME]\n"
    sources = {"main.py": code, "own.py": "NAME = 'code'\n"}
    house.deploy(write_function(tmp_path, "stacked", sources, layers=["upper", "lower"]))
    assert said(house, "stacked") == ["code", "upper"]
    house.deploy(write_function(tmp_path, "stacked", sources, layers=["lower", "upper"]))
    assert said(house, "stacked") == ["code", "lower"]


def test_packages_are_installed_into_a_layer(house: Server, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("greeting==1.0\n")
    runtime = next(row for row in house.cli("status", "-o", "json").ok().json()["runtimes"] if "python" in row["name"])
    made = (
        house.cli("layers", "publish", "web", "--from", str(lock), "--runtime", runtime["name"], "-o", "json")
        .ok()
        .json()
    )
    assert [heavy["name"] for heavy in made["heaviest"]] == ["greeting"]
    code = "import greeting\n\n\ndef handler():\n    return greeting.hello()\n"
    house.deploy(write_function(tmp_path, "greets", code, runtime=runtime["name"], layers=["web:1"]))
    assert said(house, "greets") == "hello 1"
    house.cli("layers", "publish", "web", "--from", str(lock)).exits(2)
    lock.write_text("nothing-of-that-name==1\n")
    house.cli("layers", "publish", "web", "--from", str(lock), "--runtime", runtime["name"]).exits(5)
    assert len(house.cli("layers", "versions", "web", "-o", "json").ok().json()["items"]) == 1


def test_a_layer_is_read_only(house: Server, tmp_path: Path) -> None:
    publish(house, "still", files(tmp_path / "still", data_dot_txt="still"))
    code = """
def handler(path: str):
    try:
        open(path, "w")
    except OSError as error:
        return error.strerror
    return "written"
"""
    house.deploy(write_function(tmp_path, "writes", code, layers=["still"]))
    for path in ("/opt/layers/still/data.txt", "/opt/layers/still/new", "/opt/layers/new"):
        assert house.api.invoke("writes", {"path": path}).expect(200).json()["result"] != "written", path


def test_bad_input_is_refused_by_name(house: Server, tmp_path: Path) -> None:
    source = files(tmp_path / "good", a_dot_txt="a")
    publish(house, "good", source, "--runtime", "node")
    for args, code, word in (
        (("Bad", str(source)), 2, "Bad"),
        (("good", str(tmp_path / "none")), 2, "none"),
        (("good", str(source), "--runtime", "ruby3"), 5, "ruby3"),
        (
            ("good", str(files(tmp_path / "key", key_dot_py=SECRET))),
            5,
            "key.py",
        ),
    ):
        result = house.cli("layers", "publish", *args).exits(code)
        assert word in result.stderr, result.stderr
    code = "def handler():\n    return 1\n"
    for layers, word in ((["good"], "is for node"), (["gone:1"], "no layer gone:1"), (["good:9"], "no layer good:9")):
        result = house.cli("deploy", str(write_function(tmp_path, "refused", code, layers=layers))).exits(5)
        assert word in result.stderr, result.stderr
    for layers in (["good:0"], ["Good"], ["a", "a:1"], [f"a{n}" for n in range(9)], "good"):
        result = house.cli("deploy", str(write_function(tmp_path, "refused", code, layers=layers))).exits(5)
        assert "faas.toml:3:" in result.stderr, result.stderr
    house.http.get("/api/v1/functions/refused").expect(404)
    path = "/api/v1/layers/good/versions"
    absent = {"path": "x", "digest": "0" * 64, "size": 1}
    for body in (
        {"files": []},
        {"files": [absent]},
        {"files": [absent | {"path": "../x"}]},
        {"files": [absent], "runtimes": ["python"] * 17},
        {"files": [absent], "allow_secrets": ["x"] * 65},
        {"files": [absent], "note": "x" * 1001},
        {"files": [absent], "install": True},
        {"files": [absent], "surprise": 1},
    ):
        reply = house.http.post(path, body)
        assert reply.status in (400, 413, 422), (body, reply.status)
        assert reply.json()["code"].startswith("FN_")
    house.http.get(f"{path}/0").expect(422)
    house.http.get(f"{path}/2").expect(404)
    assert len(house.http.get("/api/v1/layers/good/versions").expect(200).json()["items"]) == 1


def test_scopes_are_those_of_functions(house: Server, tmp_path: Path) -> None:
    publish(house, "scoped", files(tmp_path / "scoped", a_dot_txt="a"))
    key = house.api.create_key("reader", ["functions:read"])["key"]
    headers = {"authorization": f"Bearer {key}"}
    house.http.get("/api/v1/layers", headers=headers).expect(200)
    house.http.request("DELETE", "/api/v1/layers/scoped", headers=headers).expect(403)
    house.http.post("/api/v1/layers/scoped/versions", {"files": []}, headers=headers).expect(403)


def test_a_kill_while_a_layer_is_published_leaves_nothing_half(house: Server, tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.mkdir()
    known = 0
    for turn in range(12):
        for number in range(30):
            (source / f"{number}.txt").write_text(f"{turn} {number} " * 5_000)
        client = subprocess.Popen(
            [str(house.program), "layers", "publish", "big", str(source)],
            env=house.cli.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.03 + turn * 0.06)
        house.kill()
        client.send_signal(signal.SIGKILL)
        client.wait(10)
        house.start()
        reply = house.http.get("/api/v1/layers/big/versions")
        versions = reply.json()["items"] if reply.status == 200 else []
        assert len(versions) in (known, known + 1)
        known = len(versions)
        assert [row["version"] for row in versions] == list(range(known, 0, -1))
    assert publish(house, "big", source)["version"] == known + 1
    code = "import os\n\n\ndef handler():\n    return len(os.listdir('/opt/layers/big'))\n"
    for number in range(1, known + 2):
        house.deploy(write_function(tmp_path, "counts", code, layers=[f"big:{number}"]))
        assert said(house, "counts") == 30


def test_the_guide_does_what_it_says(house: Server, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "guides" / "layers.md").read_text(encoding="utf-8")
    script = guide.split("```sh\n", 1)[1].split("```", 1)[0].replace("faas ", f"{house.program} ")
    ran = subprocess.run(
        ["sh", "-euc", script], cwd=tmp_path, env=house.cli.env, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert '"hello, Ada"' in ran.stdout
