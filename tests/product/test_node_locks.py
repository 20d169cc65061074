"""Locks of pnpm, Yarn and Bun: every import finds what the lock means, and install scripts run when they are named."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server, write_function
from harness.index import NpmRegistry, npm_package

pytestmark = pytest.mark.needs("npm")

PACKAGE = {
    "name": "it",
    "version": "1.0.0",
    "dependencies": {"greeting": "^1.0.0", "@own/words": "^1.0.0", "old": "npm:@own/words@^1.0.0"},
    "devDependencies": {"tester": "^1.0.0"},
}
CODE = """
import fs from 'node:fs';
import { hello } from 'greeting';
import words from '@own/words';
import old from 'old';
const parts = fs.readdirSync('/node_modules', { recursive: true }).map((path) => path.split('/').pop());
export const handler = () => ({
  said: [hello(), words.WORD, old.WORD],
  there: ['for-linux', 'for-mac', 'tester'].filter((name) => parts.includes(name)),
});
"""
SAID = {"said": ["two linux", "one", "one"], "there": ["for-linux"]}
# What each program writes for this project; `{…}` are hashes.
PNPM = """
lockfileVersion: '9.0'
importers:
  .:
    dependencies:
      greeting: {specifier: ^1.0.0, version: 1.0.0}
      '@own/words': {specifier: ^1.0.0, version: 1.0.0}
      old: {specifier: 'npm:@own/words@^1.0.0', version: '@own/words@1.0.0'}
    devDependencies:
      tester: {specifier: ^1.0.0, version: 1.0.0}
packages:
  greeting@1.0.0: {resolution: {integrity: GREETING}}
  '@own/words@1.0.0': {resolution: {integrity: WORDS1}}
  '@own/words@2.1.0': {resolution: {integrity: WORDS2}}
  for-linux@1.0.0: {resolution: {integrity: LINUX}, os: [linux]}
  for-mac@1.0.0: {resolution: {integrity: MAC}, os: [darwin]}
  tester@1.0.0: {resolution: {integrity: sha512-none}}
snapshots:
  greeting@1.0.0:
    dependencies: {'@own/words': 2.1.0}
    optionalDependencies: {for-linux: 1.0.0, for-mac: 1.0.0}
"""
YARN = """
# yarn lockfile v1

"@own/words@^1.0.0", "old@npm:@own/words@^1.0.0":
  version "1.0.0"
  resolved "https://registry.yarnpkg.com/@own/words/-/words-1.0.0.tgz"
  integrity WORDS1

"@own/words@^2.0.0":
  version "2.1.0"
  resolved "https://registry.yarnpkg.com/@own/words/-/words-2.1.0.tgz"
  integrity WORDS2

for-linux@1.0.0:
  version "1.0.0"
  integrity LINUX

for-mac@1.0.0:
  version "1.0.0"
  integrity MAC

greeting@^1.0.0:
  version "1.0.0"
  integrity GREETING
  dependencies:
    "@own/words" "^2.0.0"
  optionalDependencies:
    for-linux "1.0.0"
    for-mac "1.0.0"
"""
BERRY = """
__metadata:
  version: 8
"@own/words@npm:^1.0.0, old@npm:@own/words@^1.0.0":
  version: 1.0.0
  resolution: "@own/words@npm:1.0.0"
"@own/words@npm:^2.0.0":
  version: 2.1.0
  resolution: "@own/words@npm:2.1.0"
"for-linux@npm:1.0.0":
  resolution: "for-linux@npm:1.0.0"
  conditions: os=linux
"for-mac@npm:1.0.0":
  resolution: "for-mac@npm:1.0.0"
  conditions: os=darwin
"greeting@npm:^1.0.0":
  resolution: "greeting@npm:1.0.0"
  dependencies: {"@own/words": "npm:^2.0.0", for-linux: "npm:1.0.0", for-mac: "npm:1.0.0"}
  dependenciesMeta: {for-linux: {optional: true}, for-mac: {optional: true}}
"it@workspace:.":
  resolution: "it@workspace:."
  dependencies:
    "@own/words": "npm:^1.0.0"
    greeting: "npm:^1.0.0"
    old: "npm:@own/words@^1.0.0"
    tester: "npm:^1.0.0"
"""
BUN = """{
  "lockfileVersion": 1,
  "workspaces": {
    "": {
      "dependencies": {"greeting": "^1.0.0", "@own/words": "^1.0.0", "old": "npm:@own/words@^1.0.0", },
      "devDependencies": {"tester": "^1.0.0", },
    },
  },
  "packages": {
    "@own/words": ["@own/words@1.0.0", "", {}, "WORDS1"],
    "for-linux": ["for-linux@1.0.0", "", { "os": "linux" }, "LINUX"],
    "for-mac": ["for-mac@1.0.0", "", { "os": "darwin" }, "MAC"],
    "greeting": ["greeting@1.0.0", "", { "dependencies": { "@own/words": "^2.0.0" },
      "optionalDependencies": { "for-linux": "1.0.0", "for-mac": "1.0.0" } }, "GREETING"],
    "greeting/@own/words": ["@own/words@2.1.0", "", {}, "WORDS2"],
    "old": ["@own/words@1.0.0", "", {}, "WORDS1"],
    "tester": ["tester@1.0.0", "", {}, "sha512-none"],
  },
}
"""
LOCKS = {"pnpm-lock.yaml": PNPM, "yarn.lock": YARN, "bun.lock": BUN}


@pytest.fixture(scope="module")
def registry() -> Iterator[NpmRegistry]:
    """A registry with two versions of a package, parts for two platforms, and install scripts."""

    def manifest(name: str, **more: object) -> str:
        return json.dumps({"name": name, "version": "1.0.0"} | more)

    with NpmRegistry() as registry:
        greeting = "const { WORD } = require('@own/words');\nexports.hello = () => `${WORD} ${require('for-linux')}`;\n"
        registry.add(npm_package("greeting", "1.0.0", {"index.js": greeting}))
        registry.add(npm_package("@own/words", "1.0.0", {"index.js": "exports.WORD = 'one';\n"}))
        registry.add(npm_package("@own/words", "2.1.0", {"index.js": "exports.WORD = 'two';\n"}))
        linux = {"index.js": "module.exports = 'linux';\n", "package.json": manifest("for-linux", os=["linux"])}
        registry.add(npm_package("for-linux", "1.0.0", linux))
        registry.add(npm_package("for-mac", "1.0.0", {"package.json": manifest("for-mac", os=["darwin"])}))
        scripts = {"postinstall": "maker > made.js && cat made.js || exit 3"}
        scripted = {"package.json": manifest("scripted", scripts=scripts, dependencies={"maker": "1.0.0"})}
        registry.add(npm_package("scripted", "1.0.0", scripted))
        maker = "#!/usr/bin/env node\nconsole.log(`module.exports = '${process.env.npm_package_name} made it';`);\n"
        made = {"package.json": manifest("maker", bin={"maker": "maker.js"}), "maker.js": maker}
        registry.add(npm_package("maker", "1.0.0", made))
        compiled = {"package.json": manifest("compiled", scripts={"install": "node-gyp rebuild"}), "binding.gyp": "{}"}
        registry.add(npm_package("compiled", "1.0.0", compiled))
        yield registry


@pytest.fixture(scope="module")
def house(registry: NpmRegistry) -> Iterator[Server]:
    """A server whose builds use that registry."""
    with Server(env={"FAAS_BUILD_INDEXES_NPM": registry.url}) as server:
        yield server


def hashed(registry: NpmRegistry, lock: str) -> str:
    """A lock with the registry's hashes."""
    packages = {
        "WORDS1": ("@own/words", "1.0.0"),
        "WORDS2": ("@own/words", "2.1.0"),
        "GREETING": ("greeting", "1.0.0"),
        "LINUX": ("for-linux", "1.0.0"),
        "MAC": ("for-mac", "1.0.0"),
    }
    for word, (name, version) in packages.items():
        lock = lock.replace(word, registry.integrity(name, version))
    return lock


def bring(folder: Path, name: str, files: dict[str, str], **manifest: object) -> Path:
    """A function with these files."""
    return write_function(
        folder, name, {"index.mjs": CODE, **files}, runtime="node", entrypoint="index:handler", **manifest
    )


@pytest.mark.parametrize(("file", "lock"), [*LOCKS.items(), ("yarn.lock", BERRY)], ids=["pnpm", "yarn", "bun", "berry"])
def test_every_import_finds_what_the_lock_means(
    house: Server, registry: NpmRegistry, tmp_path: Path, file: str, lock: str
) -> None:
    asked = len(registry.requests)
    name = f"of-{abs(hash(lock))}"
    files = {"package.json": json.dumps(PACKAGE), file: hashed(registry, lock)}
    told = house.deploy(bring(tmp_path, name, files))["dependencies"]
    assert told["packages"] == 5 and told["note"] is None
    assert house.api.invoke(name).expect(200).json() == SAID
    assert not [path for path in registry.requests[asked:] if path.endswith("mac-1.0.0.tgz") or "tester" in path]


def test_programs_share_layers(house: Server, registry: NpmRegistry, tmp_path: Path) -> None:
    layers = []
    for name, file in [("shared-pnpm", "pnpm-lock.yaml"), ("shared-bun", "bun.lock")]:
        files = {"package.json": json.dumps(PACKAGE), file: hashed(registry, LOCKS[file])}
        layers.append(house.deploy(bring(tmp_path, name, files))["dependencies"]["layer"])
    assert layers[0] == layers[1]


def test_a_lock_that_lies_is_refused(house: Server, registry: NpmRegistry, tmp_path: Path) -> None:
    for file, lock in LOCKS.items():
        forged = hashed(registry, lock).replace(registry.integrity("@own/words", "2.1.0"), "sha512-AAAA")
        files = {"package.json": json.dumps(PACKAGE), file: forged}
        failed = house.cli("deploy", bring(tmp_path / file, "forged", files), timeout=120).exits(5)
        assert "EINTEGRITY" in failed.stderr and f"the packages of {file}" in failed.stderr


def test_what_cannot_be_installed_is_refused_with_the_way_out(
    house: Server, registry: NpmRegistry, tmp_path: Path
) -> None:
    numbers = itertools.count()

    def refusal(files: dict[str, str], package: dict[str, object] = PACKAGE, **manifest: object) -> str:  # type: ignore[assignment]
        files = {"package.json": json.dumps(package), **files}
        folder = tmp_path / str(next(numbers))
        return house.cli("deploy", bring(folder, "refused", files, **manifest)).exits(5).stderr

    both = {file: hashed(registry, LOCKS[file]) for file in ["pnpm-lock.yaml", "yarn.lock"]}
    told = refusal(both)
    assert "pnpm-lock.yaml" in told and "yarn.lock" in told and "packageManager" in told
    moved = PACKAGE | {"dependencies": {**PACKAGE["dependencies"], "greeting": "^2.0.0"}}  # type: ignore[dict-item]
    commands = {
        "pnpm-lock.yaml": "pnpm install --lockfile-only",
        "yarn.lock": "yarn install",
        "bun.lock": "bun install",
    }
    for file, command in commands.items():
        assert command in refusal({file: hashed(registry, LOCKS[file])}, moved)
    assert "--save-text-lockfile" in refusal({"bun.lockb": "x"})
    assert "line 3" in refusal({"yarn.lock": 'a@1:\n  version "1"\n     what\n'})
    bomb = "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(20))
    assert "pnpm-lock.yaml" in refusal({"pnpm-lock.yaml": bomb})
    table = {"build.scripts": ["greting"]}
    assert "greting" in refusal({"bun.lock": hashed(registry, LOCKS["bun.lock"])}, **table)


def scripted(registry: NpmRegistry, *names: str) -> dict[str, str]:
    """A project whose packages have install scripts, locked by Bun."""
    packages = {name: [f"{name}@1.0.0", "", {}, registry.integrity(name, "1.0.0")] for name in names}
    if "scripted" in names:
        packages["scripted"][2] = {"dependencies": {"maker": "1.0.0"}}
        packages["maker"] = ["maker@1.0.0", "", {}, registry.integrity("maker", "1.0.0")]
    wanted = dict.fromkeys(names, "1.0.0")
    lock = {"lockfileVersion": 1, "workspaces": {"": {"dependencies": wanted}}, "packages": packages}
    code = "import fs from 'node:fs';\nexport const handler = () => fs.existsSync('/node_modules/scripted/made.js') && "
    code += "import('/node_modules/scripted/made.js').then((made) => made.default);\n"
    return {"package.json": json.dumps({"dependencies": wanted}), "bun.lock": json.dumps(lock), "index.mjs": code}


def test_install_scripts_run_when_they_are_named(house: Server, registry: NpmRegistry, tmp_path: Path) -> None:
    files = scripted(registry, "scripted")
    told = house.deploy(bring(tmp_path, "unscripted", files))["dependencies"]
    assert "install scripts of scripted;" in told["note"] and 'scripts = ["scripted"]' in told["note"]
    assert house.api.invoke("unscripted").expect(200).json() is False
    again = house.cli("deploy", bring(tmp_path, "again", files)).ok()
    assert "reused; not run: install scripts of scripted" in again.stdout
    told = house.deploy(bring(tmp_path, "named", files, **{"build.scripts": ["scripted"]}))["dependencies"]
    assert told["note"] is None
    assert house.api.invoke("named").expect(200).body == b"scripted made it"
    trusted = json.dumps(json.loads(files["package.json"]) | {"trustedDependencies": ["scripted"]})
    shared = house.deploy(bring(tmp_path, "trusted", files | {"package.json": trusted}))["dependencies"]
    assert shared["reused"] and shared["layer"] == told["layer"]


def test_what_must_be_compiled_fails_with_the_reason(house: Server, registry: NpmRegistry, tmp_path: Path) -> None:
    folder = bring(tmp_path, "compiled", scripted(registry, "compiled"), **{"build.scripts": ["compiled"]})
    failed = house.cli("deploy", folder, timeout=120).exits(5)
    assert "no compiler" in failed.stderr and "gyp" in failed.stderr
