"""Packages that a function asks for: installed in a sandbox, kept as a layer, shared, and confined throughout."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server, until, write_function
from harness.index import PythonIndex, installer, sdist, wheel

HANDLER = "import greeting\n\n\ndef handler(event, context):\n    return {'said': greeting.hello()}\n"


@pytest.fixture(scope="module")
def index() -> Iterator[PythonIndex]:
    """An index with a package that needs another."""
    with PythonIndex() as index:
        code = "from words import WORD\n\n\ndef hello():\n    return WORD + ' 1'\n"
        index.add(wheel("greeting", "1.0", {"greeting/__init__.py": code}, requires=["words"]))
        index.add(wheel("words", "2.1", {"words.py": "WORD = 'hello'\n"}))
        yield index


@pytest.fixture(scope="module", params=["pip", "uv"])
def house(index: PythonIndex, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server whose builds use that index, with either installer."""
    with Server(env={"FAAS_BUILD_INDEXES_PYPI": index.url} | installer(request.param)) as server:
        yield server


def bring(folder: Path, name: str, requirements: str, code: str = HANDLER, **settings: Any) -> Path:
    """A function with a `requirements.txt`."""
    return write_function(folder, name, {"main.py": code, "requirements.txt": requirements}, **settings)


def test_packages_are_installed_and_shared(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    deployed = house.deploy(bring(tmp_path, "first", "greeting==1.0\n"))
    assert house.api.invoke("first").expect(200).json() == {"said": "hello 1"}
    packages = deployed["dependencies"]
    assert packages["packages"] == 2 and packages["size_bytes"] > 0 and not packages["reused"]
    asked = len(index.requests)
    assert asked >= 4
    again = house.deploy(bring(tmp_path, "second", "# the same\ngreeting==1.0  # indeed\n"))["dependencies"]
    assert again["reused"] and again["layer"] == packages["layer"]
    assert len(index.requests) == asked, "a layer that is there needs no index"
    assert house.api.invoke("second").expect(200).json() == {"said": "hello 1"}


def test_a_changed_lock_is_built_anew(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    index.add(wheel("greeting", "2.0", {"greeting/__init__.py": "def hello():\n    return 'hello 2'\n"}))
    old = house.deploy(bring(tmp_path, "changing", "greeting==1.0\n"))["dependencies"]
    new = house.deploy(bring(tmp_path, "changing", "greeting==2.0\n"))["dependencies"]
    assert not new["reused"] and new["layer"] != old["layer"]
    assert house.api.invoke("changing").expect(200).json() == {"said": "hello 2"}
    house.cli("rollback", "changing", "--to", "1").ok()
    assert house.api.invoke("changing").expect(200).json() == {"said": "hello 1"}


def test_a_project_file_asks_for_packages_too(house: Server, tmp_path: Path) -> None:
    project = '[project]\nname = "x"\nversion = "1"\ndependencies = ["greeting==1.0"]\n'
    folder = write_function(tmp_path, "project", {"main.py": HANDLER, "pyproject.toml": project})
    assert house.deploy(folder)["dependencies"]["packages"] == 2
    assert house.api.invoke("project").expect(200).json() == {"said": "hello 1"}


def test_what_was_installed_needs_no_compiling(house: Server, tmp_path: Path) -> None:
    code = (
        "import greeting\n\n\ndef handler(event, context):\n"
        "    spec = greeting.__spec__\n    import os\n    return [spec.origin, os.path.exists(spec.cached)]\n"
    )
    house.deploy(bring(tmp_path, "compiled", "greeting==1.0\n", code))
    assert house.api.invoke("compiled").expect(200).json() == ["/opt/dependencies/greeting/__init__.py", True]


def test_hashes_are_held_to(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    good = index.add(wheel("hashed", "1.0", {"hashed.py": "def hello():\n    return 'as agreed'\n"}))
    code = HANDLER.replace("greeting", "hashed")
    house.deploy(bring(tmp_path, "hashed", f"hashed==1.0 --hash=sha256:{good}\n", code))
    assert house.api.invoke("hashed").expect(200).json() == {"said": "as agreed"}
    refused = house.cli("deploy", bring(tmp_path, "forged", f"hashed==1.0 --hash=sha256:{'0' * 64}\n", code)).exits(5)
    assert good in refused.stderr, "what came instead is named"


def test_the_way_out_of_the_bundle_is_shut(house: Server, tmp_path: Path) -> None:
    for number, (line, why) in enumerate(
        {
            "-r ../../etc/passwd": "outside of the bundle",
            "-e .": "editable",
            "git+https://example.com/x.git": "repository",
            "/etc/passwd": "local path",
            "-i https://ci:s3cret-token@pkgs/simple": "credentials",
        }.items()
    ):
        refused = house.cli("deploy", bring(tmp_path, f"out-{number}", f"greeting\n{line}\n")).exits(5)
        assert "requirements.txt:2" in refused.stderr and why in refused.stderr, refused.stderr
        assert "s3cret-token" not in refused.stderr + house.log()


def test_packages_beside_the_code_are_left_alone(house: Server, tmp_path: Path) -> None:
    files = {
        "main.py": HANDLER,
        "requirements.txt": "greeting==1.0\n",
        "vendor/greeting.py": "def hello():\n    return 'vendored'\n",
    }
    told = house.deploy(write_function(tmp_path, "vendored", files))["dependencies"]
    assert told["layer"] is None and "vendor/" in told["note"]
    assert house.api.invoke("vendored").expect(200).json() == {"said": "vendored"}
    folder = bring(tmp_path, "off", "greeting==1.0\n", "def handler():\n    return 1\n")
    with (folder / "faas.toml").open("a") as manifest:
        manifest.write('[build]\ndependencies = "none"\n')
    assert house.deploy(folder)["dependencies"] is None


def test_an_index_that_is_gone_leaves_the_old_version(tmp_path: Path) -> None:
    short = PythonIndex()
    short.add(wheel("greeting", "1.0", {"greeting.py": "def hello():\n    return 'still here'\n"}))
    with Server(env={"FAAS_BUILD_INDEXES_PYPI": short.url}) as server:
        server.deploy(bring(tmp_path, "steady", "greeting==1.0\n"))
        short.close()
        failed = server.cli("deploy", bring(tmp_path, "steady", "greeting==1.1\n"), timeout=180).exits(5)
        assert f"cannot reach 127.0.0.1:{short.port}" in failed.stderr
        assert server.api.invoke("steady").expect(200).json() == {"said": "still here"}
        assert server.api.function("steady")["version"] == 1


def test_other_hosts_are_refused_by_name(house: Server, tmp_path: Path) -> None:
    line = "thing @ http://169.254.169.254/thing-1.0-py3-none-any.whl\n"
    failed = house.cli("deploy", bring(tmp_path, "elsewhere", line), timeout=180).exits(5)
    assert "builds may not connect to 169.254.169.254:80" in failed.stderr and "FAAS_BUILD_ALLOW" in failed.stderr


def test_a_lost_layer_is_laid_out_again(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    house.deploy(bring(tmp_path, "lost", "greeting==1.0\n"))
    asked = len(index.requests)
    house.stop()
    for folder in (house.data / "layers").iterdir():
        if (folder / "greeting").is_dir():
            shutil.rmtree(folder)
    house.start()
    assert house.api.invoke("lost").expect(200).json() == {"said": "hello 1"}
    assert len(index.requests) == asked


def test_layers_tell_what_is_heavy_and_who_uses_them(house: Server, index: PythonIndex, tmp_path: Path) -> None:
    index.add(
        wheel("heavy", "3.0", {"heavy.py": "#" * 200_000 + "\ndef hello():\n    return 'oof'\n"}, requires=["words"])
    )
    house.deploy(bring(tmp_path, "lifting", "heavy\n", HANDLER.replace("greeting", "heavy")))
    listed = house.cli("layers", "list", "--packages", "-o", "json").ok().json()["items"]
    layer = next(layer for layer in listed if layer["packages"][0]["name"] == "heavy")
    assert layer["used_by"] == {"lifting": [1]} and layer["package_count"] == 2
    shown = house.cli("layers", "get", layer["id"]).ok().stdout
    assert "heavy 3.0" in shown and "lifting 1" in shown
    refused = house.cli("layers", "remove", layer["id"], "--yes").exits(6)
    assert "lifting" in refused.stderr
    house.cli("fn", "delete", "lifting", "--yes").ok()
    house.cli("layers", "remove", layer["id"], "--yes").ok()
    house.cli("layers", "get", layer["id"]).exits(4)
    then = time.time() - 3 * 86_400
    for blob in (house.data / "blobs").rglob("*"):
        os.utime(blob, (then, then))
    house.cli("collect").ok()
    assert not any((folder / "heavy.py").exists() for folder in (house.data / "layers").iterdir())


@pytest.mark.parametrize("program", ["pip", "uv"])
def test_credentials_appear_nowhere(tmp_path: Path, program: str) -> None:
    password = "hunter2-of-the-index"
    with PythonIndex(password) as private:
        private.add(wheel("greeting", "1.0", {"greeting.py": "def hello():\n    return 'private'\n"}))
        with Server(env={"FAAS_BUILD_INDEXES_PYPI": private.url} | installer(program)) as server:
            server.deploy(bring(tmp_path, "private", "greeting==1.0\n"))
            assert server.api.invoke("private").expect(200).json() == {"said": "private"}
            failed = server.cli("deploy", bring(tmp_path, "private", "nothing-of-it\n"), timeout=180).exits(5)
            said = (
                failed.stderr + server.log() + json.dumps(server.http.get("/api/v1/package-layers").expect(200).json())
            )
            assert password not in said
            server.stop()
            for path in server.data.rglob("*"):
                if path.is_file():
                    assert password.encode() not in path.read_bytes(), path
            server.start()


def test_a_death_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    backend = "import time\n\n\ndef get_requires_for_build_wheel(c=None):\n    time.sleep(600)\n"
    with PythonIndex() as index:
        index.add(sdist("sleeper", "1.0", backend))
        index.add(wheel("greeting", "1.0", {"greeting.py": "def hello():\n    return 'after all'\n"}))
        with Server(env={"FAAS_BUILD_INDEXES_PYPI": index.url}) as server:
            server.deploy(bring(tmp_path, "mortal", "greeting==1.0\n"))
            folder = bring(tmp_path, "mortal", "sleeper==1.0\n")
            deploying = threading.Thread(target=server.cli, args=("deploy", folder), daemon=True)
            deploying.start()
            until(
                lambda: any("sleeper-1.0.tar.gz" in path for path in index.requests),
                "the build is under way",
                within=60,
            )
            server.kill()
            deploying.join(60)
            until(lambda: not server.footprint.alive(), "every process of the build is gone", within=10)
            server.start()
            assert not list((server.data / "layers").glob(".draft-*"))
            assert server.api.invoke("mortal").expect(200).json() == {"said": "after all"}
            server.deploy(bring(tmp_path, "mortal", "greeting\n"))
