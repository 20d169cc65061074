"""Failed runs explain themselves: class, next step, file and line, from real failures of both runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import Server, write_function

PYTHON = """
import json, os, socket, subprocess, threading, urllib.request

def handler(event):
    return globals()[event["do"]]()

def missing():
    import left_pad_of_mine

def memory():
    return len(bytearray(10 ** 15))

def unreachable():
    socket.create_connection(("93.184.216.34", 80), 1)

def unresolved():
    urllib.request.urlopen("http://example.com", timeout=5)

def read_only():
    open("/function/new.txt", "w")

def threads():
    stop = threading.Event()
    try:
        while True:
            threading.Thread(target=stop.wait, daemon=True).start()
    finally:
        stop.set()

def disk():
    with open("/tmp/big", "wb") as big:
        try:
            while True:
                big.write(b"x" * (1 << 20))
        finally:
            os.unlink("/tmp/big")

def not_json():
    json.loads("{broken")

def unset():
    return os.environ["MY_KEY"]

def own():
    return 1 / 0
"""

NODE = """
const net = require("node:net");
const fs = require("node:fs");
const acts = {
  missing: () => require("left-pad-of-mine"),
  refused: () => new Promise((_, reject) => net.connect(80, "93.184.216.34").on("error", reject)),
  fetches: () => fetch("http://example.com"),
  readOnly: () => fs.writeFileSync("/function/new.txt", "x"),
  notJson: () => JSON.parse("{broken"),
  memory: () => new ArrayBuffer(2 ** 52),
  own: () => undefined.x,
};
exports.handler = async (event) => acts[event.do]();
"""

PYTHON_CAUSES = {
    "missing": ("dependency_missing", "left-pad-of-mine"),
    "memory": ("memory", "memory"),
    "unreachable": ("network_denied", "network"),
    "unresolved": ("network_denied", "network"),
    "read_only": ("not_permitted", "/tmp"),
    "threads": ("too_many_processes", "fewer"),
    "disk": ("disk_full", "/tmp"),
    "not_json": ("bad_input", "JSON"),
    "unset": ("user_error", "faas vars set FUNCTION MY_KEY"),
    "own": ("user_error", "of main.py"),
}
NODE_CAUSES = {
    "missing": ("dependency_missing", "left-pad-of-mine"),
    "refused": ("network_denied", "network"),
    "fetches": ("network_denied", "network"),
    "readOnly": ("not_permitted", "/tmp"),
    "notJson": ("bad_input", "JSON"),
    "memory": ("memory", "memory"),
    "own": ("user_error", "of index.js"),
}


def why(server: Server, name: str, body: object) -> dict[str, Any]:
    run = server.api.finished(server.api.invoke(name, body).headers["x-run-id"])
    assert run["state"] == "failed"
    return run["error"]


@pytest.fixture(scope="module")
def python(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_function(tmp_path_factory.mktemp("causes"), "causes-python", PYTHON)
    shared_server.deploy(folder)
    return "causes-python"


@pytest.fixture(scope="module")
def node(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    files = {"index.js": NODE}
    folder = write_function(tmp_path_factory.mktemp("causes"), "causes-node", files, runtime="node")
    shared_server.deploy(folder)
    return "causes-node"


@pytest.mark.parametrize("act", PYTHON_CAUSES)
def test_python(server: Server, python: str, act: str) -> None:
    cause, advice = PYTHON_CAUSES[act]
    error = why(server, python, {"do": act})
    assert (error["cause"], advice in error["advice"]) == (cause, True), error
    line = next(n for n, text in enumerate(PYTHON.splitlines(), 1) if text == f"def {act}():")
    assert error["file"] == "main.py" and line < error["line"] <= line + 7, error
    assert error["stack"] and "\n" not in error["summary"]


@pytest.mark.parametrize("act", NODE_CAUSES)
def test_node(server: Server, node: str, act: str) -> None:
    cause, advice = NODE_CAUSES[act]
    error = why(server, node, {"do": act})
    assert (error["cause"], advice in error["advice"]) == (cause, True), error


def test_limits_and_inputs(server: Server, tmp_path: Path, name: str) -> None:
    code = "import time\n\ndef handler(seconds: int):\n    time.sleep(seconds)\n"
    server.deploy(write_function(tmp_path, name, code, timeout="1s"))
    error = why(server, name, {"seconds": 5})
    assert (error["code"], error["cause"]) == ("FN_002", "timeout") and "timeout" in error["advice"]
    error = why(server, name, {"seconds": "five"})
    assert (error["code"], error["cause"]) == ("FN_012", "bad_input") and "seconds" in error["summary"]


def test_the_command_line_tells_the_story(server: Server, python: str) -> None:
    run_id = server.api.invoke(python, {"do": "unset"}).headers["x-run-id"]
    server.api.finished(run_id)
    shown = server.cli("runs", "get", run_id).ok().stdout
    table = {line.split("  ")[0]: line for line in shown.splitlines()}
    assert "KeyError: 'MY_KEY'" in table["error"]
    assert "main.py:" in table["at"]
    assert "user error" in table["cause"]
    assert f"faas vars set {python} MY_KEY=VALUE" in table["next step"]
    assert 'os.environ["MY_KEY"]' in shown, "the stack shows the source"
