"""What a shim that waits has loaded before anybody calls."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from harness import Server, write_function
from harness.paths import ROOT

HEADER = struct.Struct("<IBBHI")
INIT, INVOKE, HELLO, READY, REPLY = 0x01, 0x02, 0x80, 0x81, 0x89
HANDLER = "def handler(event, context):\n    return {'query': context.request.query}\n"
SETTINGS = {
    "protocol": 3,
    "entrypoint": "main:handler",
    "function": "first",
    "version": 1,
    "memory_mb": 128,
    "concurrency": 1,
    "vars": {"FAAS_FUNCTION": "first", "FAAS_VERSION": "1", "FAAS_RUNTIME": "python"},
    "log_bytes": 1 << 20,
    "log_line": 16 << 10,
    "body_max": 6 << 20,
    "layers": [],
}
CALL = {"run": "01J00000000000000000000000", "method": "GET", "path": "/", "query": "a=b", "headers": [], "deadline": 0}


class Shim:
    """A shim on the other end of a socket, without a sandbox."""

    def __init__(self, argv: list[str], errors: Path) -> None:
        self.errors = errors
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(30)

        def place() -> None:
            """Where shims look for it."""
            os.dup2(theirs.fileno(), 3)

        with errors.open("wb") as stderr:
            self.process = subprocess.Popen(argv, pass_fds=[3, theirs.fileno()], stderr=stderr, preexec_fn=place)
        theirs.close()

    def send(self, kind: int, stream: int, payload: dict[str, Any]) -> None:
        data = json.dumps(payload).encode()
        self.channel.sendall(HEADER.pack(len(data), kind, 1, 0, stream) + data)

    def expect(self, kind: int) -> bytes:
        length, found, *_ = HEADER.unpack(self._take(HEADER.size))
        payload = self._take(length)
        assert found == kind, (hex(found), payload, self.errors.read_text())
        return payload

    def _take(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self.channel.recv(length - len(data))
            assert part, self.errors.read_text()
            data += part
        return data

    def close(self) -> None:
        self.channel.close()
        self.process.wait(10)


def pythons() -> list[str]:
    """The programs of this machine, without launchers before them; the one that runs the tests is among them."""
    found = [str(Path(sys.base_prefix) / "bin" / f"python{sysconfig.get_python_version()}")]
    for release in ("3.10", "3.11", "3.12", "3.13"):
        if launcher := shutil.which(f"python{release}"):
            words = [launcher, "-c", "import sys; print(sys.executable)"]
            asked = subprocess.run(words, capture_output=True, text=True)
            found += asked.stdout.split()
    return sorted({str(Path(program).resolve()) for program in found})


@pytest.mark.parametrize("python", pythons())
def test_a_waiting_python_loads_nothing_but_the_function(tmp_path: Path, python: str) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text(HANDLER)
    boot = ROOT / "shims" / "python" / "boot.py"
    argv = [python, "-I", "-S", "-B", "-X", "importtime", str(boot), str(tmp_path / "code"), "--wait"]
    shim = Shim(argv, tmp_path / "errors")
    try:
        shim.expect(HELLO)
        before = len(_imported(shim.errors))
        shim.send(INIT, 0, SETTINGS)
        shim.expect(READY)
        shim.send(INVOKE, 1, CALL)
        assert b'"query":{"a":"b"}' in shim.expect(REPLY)
    finally:
        shim.close()
    modules = _imported(shim.errors)
    assert "faas_sample" in modules[:before]
    assert modules[before:] == ["main"]


def _imported(errors: Path) -> list[str]:
    lines = [line for line in errors.read_text().splitlines() if line.startswith("import time:")]
    return [line.rpartition("|")[2].strip() for line in lines][1:]


# What Node says of its own modules: which it compiled, and which it had compiled before.
CACHED = """
const { quickly } = require(process.argv[1]);
const { getCacheUsage } = require("internal/test/binding").internalBinding("builtins");
const counted = () => {
  const { compiledWithCache, compiledWithoutCache } = getCacheUsage();
  return { with: compiledWithCache.size, without: compiledWithoutCache.size };
};
const before = counted();
quickly(() => [require("node:net"), require("node:http")]);
const after = counted();
const { Worker } = require("node:worker_threads");
const code = `
  const { heap_size_limit } = require("node:v8").getHeapStatistics();
  require("node:worker_threads").parentPort.postMessage(heap_size_limit);
`;
new Worker(code, { eval: true }).on("message", (worker) => {
  const own = require("node:v8").getHeapStatistics().heap_size_limit;
  console.log(JSON.stringify({ before, after, own, worker }));
});
"""


@pytest.mark.needs("node")
def test_node_takes_its_own_modules_as_they_were_compiled() -> None:
    """Limits of the heap switch that off, and must hold for worker threads all the same."""
    builtins = ROOT / "shims" / "node" / "faas_shim" / "builtins.js"
    node = shutil.which("node")
    assert node is not None
    flags = ["--expose-internals", "--no-warnings", "--max-old-space-size=83", "--max-semi-space-size=4"]
    argv = [node, *flags, "-e", CACHED, str(builtins)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    told = json.loads(done.stdout)
    assert done.stderr == ""
    assert told["after"]["without"] == told["before"]["without"], told
    assert told["after"]["with"] >= told["before"]["with"] + 10, told
    assert told["own"] < 128 << 20, told
    assert told["worker"] < 128 << 20, told


SHIM = ROOT / "shims" / "node"
# Whether V8 takes the code that the seal left, under the limits of an instance's heap.
TAKEN = """
const [, shim] = process.argv;
const { readFileSync } = require("node:fs");
const { quickly } = require(`${shim}/builtins.js`);
const { CODE, SOURCE, scriptOf } = require(`${shim}/together.js`);
const source = readFileSync(SOURCE, "latin1");
const rejected = (code) => quickly(() => scriptOf(source, code)).cachedDataRejected;
const other = readFileSync(CODE);
other[4] ^= 1;
console.log(JSON.stringify({ own: rejected(readFileSync(CODE)), other: rejected(other) }));
"""
# What of the shim was loaded file by file.
FILES = """
exports.handler = () => Object.keys(require.cache).filter((file) => file.startsWith("/opt/faas/")).sort();
"""


@pytest.mark.needs("node")
def test_node_takes_the_shim_as_the_seal_compiled_it(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None
    shutil.copytree(SHIM / "faas_shim", tmp_path / "faas_shim")
    shutil.copy(SHIM / "boot.js", tmp_path)
    finish = [node, "-e", (SHIM / "finish.js").read_text(), str(tmp_path), "/opt/faas"]
    subprocess.run(finish, env={}, cwd="/", capture_output=True, text=True, timeout=60, check=True)
    assert sorted(os.listdir(tmp_path)) == ["boot.js", "faas_shim"], "the sample has gone"
    flags = ["--no-warnings", "--max-old-space-size=83", "--max-semi-space-size=4"]
    argv = [node, *flags, "-e", TAKEN, str(tmp_path / "faas_shim")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == {"own": False, "other": True}


@pytest.mark.needs("node")
def test_an_instance_loads_the_shim_from_one_file(server: Server, tmp_path: Path) -> None:
    server.deploy(
        write_function(tmp_path, "whole-shim", {"index.js": FILES}, runtime="node", entrypoint="index:handler")
    )
    loaded = server.http.get("/fn/whole-shim").expect(200).json()
    shim = "/opt/faas/faas_shim"
    assert set(loaded) <= {
        "/opt/faas/boot.js",
        *(f"{shim}/{name}.js" for name in ("builtins", "importing", "together")),
    }
