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
