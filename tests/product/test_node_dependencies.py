"""Packages of Node: installed from a lock file, kept as a layer, found by modules of either kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server, write_function
from harness.index import NpmRegistry, npm_package

pytestmark = pytest.mark.needs("npm")

MODULE = "import { hello } from 'greeting';\nexport const handler = () => ({ said: hello() });\n"
COMMON = "const { hello } = require('greeting');\nexports.handler = () => ({ said: hello() });\n"


@pytest.fixture(scope="module")
def registry() -> Iterator[NpmRegistry]:
    """A registry with a package that needs another, of a scope."""
    with NpmRegistry() as registry:
        greeting = "const { WORD } = require('@own/words');\nexports.hello = () => `${WORD} 1`;\n"
        registry.add(npm_package("greeting", "1.0.0", {"index.js": greeting}), {"@own/words": "2.1.0"})
        registry.add(npm_package("@own/words", "2.1.0", {"index.js": "exports.WORD = 'hello';\n"}))
        yield registry


@pytest.fixture(scope="module")
def house(registry: NpmRegistry) -> Iterator[Server]:
    """A server whose builds use that registry."""
    with Server(env={"FAAS_BUILD_INDEXES_NPM": registry.url}) as server:
        yield server


def bring(folder: Path, name: str, project: dict[str, str], code: str = MODULE, file: str = "index.mjs") -> Path:
    """A function with a lock file."""
    return write_function(folder, name, {file: code, **project}, runtime="node", entrypoint="index:handler")


def test_packages_are_installed_and_shared(house: Server, registry: NpmRegistry, tmp_path: Path) -> None:
    project = registry.project("greeting")
    packages = house.deploy(bring(tmp_path, "module", project))["dependencies"]
    assert packages["packages"] == 2 and not packages["reused"]
    assert house.api.invoke("module").expect(200).json() == {"said": "hello 1"}
    asked = len(registry.requests)
    # Scripts and spaces make no difference to what is installed.
    again = json.dumps(json.loads(project["package.json"]) | {"scripts": {"test": "exit 1"}}, indent=4)
    folder = bring(tmp_path, "common", project | {"package.json": again}, COMMON, "index.cjs")
    shared = house.deploy(folder)["dependencies"]
    assert shared["reused"] and shared["layer"] == packages["layer"] and len(registry.requests) == asked
    assert house.api.invoke("common").expect(200).json() == {"said": "hello 1"}
    layer = house.cli("layers", "get", packages["layer"], "-o", "json").ok().json()
    assert {(one["name"], one["version"]) for one in layer["packages"]} == {
        ("greeting", "1.0.0"),
        ("@own/words", "2.1.0"),
    }
    assert all(one["size"] > 0 for one in layer["packages"])


def test_what_is_not_as_locked_is_refused(house: Server, registry: NpmRegistry, tmp_path: Path) -> None:
    project = registry.project("greeting")
    forged = project["package-lock.json"].replace("sha512-", "sha512-AAAA")
    failed = house.cli("deploy", bring(tmp_path, "forged", project | {"package-lock.json": forged}), timeout=120).exits(
        5
    )
    assert "could not be installed" in failed.stderr and "EINTEGRITY" in failed.stderr


def test_what_a_registry_has_not_is_refused(house: Server, registry: NpmRegistry, tmp_path: Path) -> None:
    lock = json.loads(registry.project("greeting")["package-lock.json"])
    lock["packages"]["node_modules/greeting"]["resolved"] = "git+ssh://git@example.com/greeting.git#1"
    project = registry.project("greeting") | {"package-lock.json": json.dumps(lock)}
    assert "of no registry" in house.cli("deploy", bring(tmp_path, "elsewhere", project)).exits(5).stderr
    lock["packages"]["node_modules/greeting"]["resolved"] = "http://169.254.169.254/greeting.tgz"
    project["package-lock.json"] = json.dumps(lock)
    failed = house.cli("deploy", bring(tmp_path, "elsewhere", project), timeout=120).exits(5)
    assert "builds may not connect to 169.254.169.254:80" in failed.stderr


def test_without_a_lock_nothing_is_installed(house: Server, registry: NpmRegistry, tmp_path: Path) -> None:
    code = "export const handler = () => 1;\n"
    package = {"package.json": registry.project("greeting")["package.json"]}
    told = house.deploy(bring(tmp_path, "unlocked", package, code))["dependencies"]
    assert told["layer"] is None and "npm install --package-lock-only" in told["note"]
    assert house.deploy(bring(tmp_path, "plain", {"package.json": '{"type": "module"}'}, code))["dependencies"] is None


def test_credentials_open_the_registry_and_appear_nowhere(tmp_path: Path) -> None:
    password = "hunter2-of-the-registry"
    with NpmRegistry(password) as private:
        private.add(npm_package("greeting", "1.0.0", {"index.js": "exports.hello = () => 'private';\n"}))
        with Server(env={"FAAS_BUILD_INDEXES_NPM": private.url}) as server:
            server.deploy(bring(tmp_path, "private", private.project("greeting")))
            assert server.api.invoke("private").expect(200).json() == {"said": "private"}
            assert password not in server.log()
            server.stop()
            for path in server.data.rglob("*"):
                assert not path.is_file() or password.encode() not in path.read_bytes(), path
            server.start()
