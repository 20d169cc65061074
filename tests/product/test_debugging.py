"""Debuggers attach to what runs locally: breakpoints hold, edits are followed, and no server lets anybody in."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server, free_port, until, write_function
from harness.machine import ORDINARY_UID, as_ordinary_user
from harness.paths import binary

from product.debuggers import Dap, Inspector
from product.developer import Dev, Developer

PYTHON = """\
def handler(n: int = 1):
    twice = n * {factor}
    return twice
"""
NODE = """\
export function handler(event) {{
  const twice = event.n * {factor};
  return {{ result: twice }};
}}
"""
# The line behind the one that works.
LINE = 3


class Programmer(Developer):
    """A developer with a debugger of Python, who may be another user."""

    def __init__(self, home: Path, *, is_ordinary: bool) -> None:
        # The packages of the tests are root's and hidden from others.
        packages = home / "packages"
        shutil.copytree(Path(_debugpy()), packages / "debugpy", ignore=shutil.ignore_patterns("__pycache__"))
        super().__init__(home, PYTHONPATH=str(packages))
        self.is_ordinary = is_ordinary
        if is_ordinary:
            self.prefix = as_ordinary_user()
            self.env["PATH"] = "/usr/local/bin:/usr/bin:/bin"
            home.chmod(0o755)
            self.program = Path(shutil.copy2(binary(), home / "faas"))
            os.chown(home, ORDINARY_UID, ORDINARY_UID)

    def write(self, name: str, code: str | dict[str, str], **settings: Any) -> Path:
        """A function in a directory of their own."""
        folder = write_function(self.home, name, code, **settings)
        if self.is_ordinary:
            os.chown(folder, ORDINARY_UID, ORDINARY_UID)
        return folder

    def python(self, name: str, factor: int = 2, **settings: Any) -> Path:
        return self.write(name, PYTHON.format(factor=factor), **settings)

    def node(self, name: str, factor: int = 2, **settings: Any) -> Path:
        files = {"index.mjs": NODE.format(factor=factor)}
        return self.write(name, files, runtime="node", entrypoint="index:handler", **settings)


class Call:
    """A call under way."""

    def __init__(self, dev: Dev, body: Any) -> None:
        name = dev.starts()["function"]
        self.reply: Any = None
        self._thread = threading.Thread(target=self._call, args=(dev.http, name, body), daemon=True)
        self._thread.start()

    def _call(self, http: Any, name: str, body: Any) -> None:
        self.reply = http.post(f"/fn/{name}", body)

    @property
    def is_under_way(self) -> bool:
        return self._thread.is_alive()

    def answer(self) -> Any:
        """The result, once it is there."""
        self._thread.join(30)
        assert not self.is_under_way, "the call does not end"
        return self.reply.expect(200).json()


def _debugpy() -> str:
    import debugpy

    return str(Path(debugpy.__file__).parent)


def _programmer(*, is_ordinary: bool) -> Iterator[Programmer]:
    home = Path(tempfile.mkdtemp(prefix="faas-debugging-"))
    try:
        yield Programmer(home, is_ordinary=is_ordinary)
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def developer() -> Iterator[Programmer]:
    yield from _programmer(is_ordinary=False)


@pytest.fixture(
    scope="module", params=["self", pytest.param("ordinary", marks=pytest.mark.needs("ordinary", "userns", "root"))]
)
def anybody(request: pytest.FixtureRequest) -> Iterator[Programmer]:
    yield from _programmer(is_ordinary=request.param == "ordinary")


def listeners(port: int) -> list[str]:
    """The addresses on which somebody on this machine listens at this port."""
    found = []
    for table in ("tcp", "tcp6"):
        lines = Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        fields = [line.split() for line in lines]
        found += [local for _, local, _, state, *_ in fields if state == "0A" and local.endswith(f":{port:04X}")]
    return found


def inspected(developer: Programmer, folder: Path, *, word: str = "--inspect", state: str = "state") -> tuple[Dev, int]:
    """`faas dev` that lets debuggers in at a port. One state at a time, so that the runtimes are sealed once."""
    port = free_port()
    return Dev(developer, folder, f"{word}={port}", data=developer.home / state), port


def test_a_breakpoint_in_python_holds_a_call_longer_than_its_timeout(anybody: Programmer) -> None:
    folder = anybody.python("snake", timeout="1s")
    dev, port = inspected(anybody, folder)
    with dev:
        told = dev.has_said("debugger", within=120)
        assert (told["debugger"], told["address"]) == ("debugpy", f"127.0.0.1:{port}")
        dev.starts()
        with Dap(port) as debugger:
            debugger.breaks_at(str(folder), "main.py", LINE)
            call = Call(dev, {"n": 21})
            frame = debugger.paused()
            assert (frame["source"]["path"], frame["line"]) == (f"{folder}/main.py", LINE)
            assert [each["name"] for each in frame["frames"]] == ["handler"], "the platform's own frames are shown"
            assert debugger.value("twice", frame) == "42"
            time.sleep(2.5)
            assert call.is_under_way
            debugger.resume(frame)
            assert call.answer() == {"result": 42}
        assert dev.answer() == {"result": 2}
    assert dev.footprint.leftovers() == []
    assert listeners(port) == []


@pytest.mark.needs("npm")
def test_a_breakpoint_in_node_holds_a_call_longer_than_its_timeout(anybody: Programmer) -> None:
    folder = anybody.node("noder", timeout="1s")
    dev, port = inspected(anybody, folder)
    with dev:
        dev.starts()
        with Inspector(port) as debugger:
            debugger.breaks_at("/function/index.mjs", LINE)
            call = Call(dev, {"n": 21})
            frame = debugger.paused()
            assert debugger.value("twice", frame) == 42
            time.sleep(2.5)
            assert call.is_under_way
            debugger.resume()
            assert call.answer() == {"result": 42}
    assert dev.footprint.leftovers() == []
    assert listeners(port) == []


def test_an_edit_is_debugged_at_the_same_address(developer: Programmer) -> None:
    folder = developer.python("edited")
    dev, port = inspected(developer, folder)
    with dev:
        dev.starts()
        for factor in (3, 4):
            before = Dap(port)
            before.breaks_at(str(folder), "main.py", LINE)
            developer.python("edited", factor)
            with pytest.raises(EOFError):
                # Its instance ends with its version.
                before.until(lambda _: False)
            before.close()
            with Dap(port) as debugger:
                debugger.breaks_at(str(folder), "main.py", LINE)
                call = Call(dev, {"n": 2})
                frame = debugger.paused()
                assert debugger.value("twice", frame) == str(2 * factor)
                debugger.resume(frame)
                assert call.answer() == {"result": 2 * factor}
                debugger.leave()


@pytest.mark.needs("npm")
def test_an_edit_while_a_call_is_held_leaves_it_its_version(developer: Programmer) -> None:
    folder = developer.node("held")
    dev, port = inspected(developer, folder)
    with dev:
        dev.starts()
        with Inspector(port) as debugger:
            debugger.breaks_at("/function/index.mjs", LINE)
            call = Call(dev, {"n": 2})
            frame = debugger.paused()
            developer.node("held", 5)
            dev.has_said("deployed", lambda event: event["version"] == 2)
            with Inspector(port) as newer:
                newer.breaks_at("/function/index.mjs", LINE)
                second = Call(dev, {"n": 2})
                assert newer.value("twice", newer.paused()) == 10
                newer.resume()
                assert second.answer() == {"result": 10}
            assert debugger.value("twice", frame) == 4
            debugger.resume()
            assert call.answer() == {"result": 4}


def test_python_waits_for_its_debugger_before_it_loads_the_code(developer: Programmer) -> None:
    folder = developer.write("patient", "READY = 'loaded'\nWORD = READY\n\n\ndef handler():\n    return WORD\n")
    dev, port = inspected(developer, folder, word="--inspect-brk")
    with dev:
        call = Call(dev, None)
        time.sleep(1.5)
        assert call.is_under_way
        with Dap(port) as debugger:
            debugger.breaks_at(str(folder), "main.py", 2)
            frame = debugger.paused()
            assert (frame["name"], debugger.value("READY", frame)) == ("<module>", "'loaded'")
            debugger.resume(frame)
            assert call.answer() == {"result": "loaded"}


def test_an_edit_ends_what_waits_for_a_debugger(developer: Programmer) -> None:
    folder = developer.python("impatient")
    dev, port = inspected(developer, folder, word="--inspect-brk")
    with dev:
        dev.starts()
        for factor in (3, 4, 5):
            developer.python("impatient", factor)
            dev.has_said("deployed", lambda event, version=factor - 1: event["version"] == version)
        call = Call(dev, {"n": 2})
        with Dap(port) as debugger:
            debugger.breaks_at(str(folder), "main.py", LINE)
            frame = debugger.paused()
            assert debugger.value("twice", frame) == "10"
            debugger.resume(frame)
            assert call.answer() == {"result": 10}


@pytest.mark.needs("npm")
def test_node_waits_for_its_debugger_before_it_loads_the_code(developer: Programmer) -> None:
    code = "const ready = 'loaded';\nconst word = ready;\nexport function handler() {\n  return { result: word };\n}\n"
    files = {"index.mjs": code}
    folder = developer.write("waiter", files, runtime="node", entrypoint="index:handler")
    dev, port = inspected(developer, folder, word="--inspect-brk")
    with dev:
        call = Call(dev, None)
        time.sleep(1.5)
        assert call.is_under_way
        with Inspector(port) as debugger:
            debugger.breaks_at("/function/index.mjs", 2)
            assert debugger.value("ready", debugger.paused()) == "loaded"
            debugger.resume()
            assert call.answer() == {"result": "loaded"}


@pytest.mark.parametrize("command", [["invoke", "--local", "-d", '{"n": 4}'], ["test"]])
def test_single_calls_wait_for_a_debugger(developer: Programmer, command: list[str]) -> None:
    case = '{"request": {"body": {"n": 4}}, "expect": {"json": {"result": 8}}}'
    folder = developer.write("single", {"main.py": PYTHON.format(factor=2), "tests/one.json": case}, timeout="1s")
    port = free_port()
    words = [str(developer.program), *command, f"--inspect-brk={port}"]
    # The adapter of a debugger is nobody's child of this command: it ends with the sandbox.
    running = subprocess.Popen(words, cwd=folder, env=developer.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        until(lambda: listeners(port), "the command listens", within=60)
        with Dap(port) as debugger:
            debugger.socket.settimeout(90)
            debugger.breaks_at(str(folder), "main.py", LINE)
            frame = debugger.paused()
            assert debugger.value("twice", frame) == "8"
            time.sleep(1.5)
            debugger.resume(frame)
        said, _ = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 0, said
    assert f"debugger: debugpy on 127.0.0.1:{port}".encode() in said
    assert listeners(port) == []


def test_two_functions_have_an_address_each_and_one_that_is_taken_is_refused(developer: Programmer) -> None:
    folders = [developer.python(name, factor) for name, factor in (("left", 2), ("right", 3))]
    first, port = inspected(developer, folders[0])
    with first:
        first.has_said("debugger", within=120)
        assert listeners(port) == [f"0100007F:{port:04X}"], "others than this machine can attach"
        refused = developer.cli("dev", folders[1], f"--inspect={port}").exits(6).stderr
        assert f"cannot listen on 127.0.0.1:{port}" in refused and "choose another port" in refused, refused
        second, other = inspected(developer, folders[1], state="another")
        with second:
            for dev, at, folder, twice in ((first, port, folders[0], "4"), (second, other, folders[1], "6")):
                dev.starts()
                with Dap(at) as debugger:
                    debugger.breaks_at(str(folder), "main.py", LINE)
                    call = Call(dev, {"n": 2})
                    frame = debugger.paused()
                    assert debugger.value("twice", frame) == twice
                    debugger.resume(frame)
                    call.answer()


def test_a_debugger_or_a_caller_that_goes_away_leaves_the_instance(developer: Programmer) -> None:
    folder = developer.python("left-alone")
    dev, port = inspected(developer, folder)
    with dev:
        dev.starts()
        debugger = Dap(port)
        debugger.breaks_at(str(folder), "main.py", LINE)
        call = Call(dev, {"n": 2})
        debugger.paused()
        debugger.close()
        assert call.answer() == {"result": 4}, "a call stays held by nobody"
        with Dap(port) as again:
            again.breaks_at(str(folder), "main.py", LINE)
            caller = dev.http.connect()
            caller.request("POST", "/fn/left-alone", '{"n": 3}', {"content-type": "application/json"})
            frame = again.paused()
            caller.close()
            time.sleep(0.5)
            again.resume(frame)
            again.ask("setBreakpoints", source={"path": f"{folder}/main.py"}, breakpoints=[])
            reply = dev.http.post("/fn/left-alone", {"n": 4}).expect(200)
            assert (reply.json(), reply.headers["x-cold-start"]) == ({"result": 8}, "false")


def test_a_missing_debugger_is_told_with_what_to_do(developer: Programmer, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "bare", PYTHON.format(factor=2))
    # An interpreter without further packages.
    bare = tmp_path / "bin/python3"
    bare.parent.mkdir()
    bare.write_text('#!/bin/sh\nexec /usr/bin/python3 -I -S "$@"\n', encoding="ascii")
    bare.chmod(0o755)
    plain = {"PATH": str(bare.parent), "HOME": str(tmp_path)}
    said = developer.cli("dev", folder, "--inspect", env=plain).exits(5).stderr
    assert "error[FN_019]: debugpy is not installed" in said and "python3 -m pip install debugpy" in said


SELF_MADE = """\
import inspector from "node:inspector";
inspector.open({port}, "127.0.0.1");
export function handler() {{
  return {{ result: inspector.url() }};
}}
"""
# A frame that tells of a debugger, as only an instance of a local run may send it.
FORGED = """\
import os
os.write(3, (2).to_bytes(4, "little") + bytes([0x8b, 1, 0, 0]) + bytes(4) + ({port}).to_bytes(2, "little"))


def handler():
    return 1
"""


@pytest.mark.needs("npm")
def test_a_server_lets_no_debugger_in(shared_server: Server, tmp_path: Path) -> None:
    port = free_port()
    code = {"index.mjs": SELF_MADE.format(port=port)}
    folder = write_function(
        tmp_path, "opened", code, runtime="node", entrypoint="index:handler", network="loopback", auth="public"
    )
    shared_server.deploy(folder)
    url = shared_server.api.call("opened").expect(200).json()["result"]
    assert url.startswith(f"ws://127.0.0.1:{port}/"), "the function's own debugger listens inside"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    assert listeners(port) == []
    forged = write_function(tmp_path, "forged", FORGED.format(port=port))
    said = shared_server.cli("deploy", forged).exits(5).stderr
    assert "a debugger that nobody asked for" in said, said


def test_no_setting_of_a_server_speaks_of_debuggers(shared_server: Server) -> None:
    said = [shared_server.http.get(path).expect(200).body for path in ("/openapi.json", "/schema/faas.toml.json")]
    said.append(shared_server.cli("up", "--help").ok().stdout.encode())
    for text in said:
        assert b"debugger" not in text.lower() and b"inspect" not in text.lower()
    for flag in ("--inspect", "--inspect-brk"):
        shared_server.cli("up", flag).exits(2)


def test_the_switches_exclude_each_other(developer: Programmer) -> None:
    folder = developer.python("either")
    assert "cannot be used with" in developer.cli("dev", folder, "--inspect", "--inspect-brk").exits(2).stderr
    assert "65536" in developer.cli("dev", folder, "--inspect=65536").exits(2).stderr
