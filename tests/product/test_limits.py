"""Every limit, breached for real, in Python and in Node: its own code, its metric, and a server that goes on."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness import Server, until, write_function

PYTHON = {
    "spin": "def handler(event):\n    while True:\n        pass\n",
    "grow": "def handler(event):\n    kept = []\n    while True:\n        kept.append(bytearray(8 << 20))\n",
    "pids": """
import os, signal


def handler(event):
    while True:
        if os.fork() == 0:
            signal.pause()
""",
    "threads": """
import threading, time


def handler(event):
    while True:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
""",
    "tmp": """
def handler(event):
    with open("/tmp/big", "wb") as big:
        while True:
            big.write(bytes(1 << 16))
""",
    "log": "def handler(event):\n    for _ in range(3000):\n        print('x' * 1000)\n    return 'done'\n",
    "reply": "def handler(event):\n    return bytes((10 << 20) + 1)\n",
}
NODE = {
    "spin": "export const handler = () => { for (;;); };\n",
    "grow": "export const handler = () => { const kept = []; for (;;) kept.push(new Uint8Array(8 << 20).fill(1)); };\n",
    "pids": """
import { spawn } from "node:child_process";
export const handler = () => new Promise((_, reject) => {
  const more = () => {
    for (let n = 0; n < 8; n++) spawn(process.execPath, ["-e", "setTimeout(() => {}, 60000)"]).on("error", reject);
    setTimeout(more, 5);
  };
  more();
});
""",
    "tmp": """
import fs from "node:fs";
export const handler = () => {
  const big = fs.openSync("/tmp/big", "w");
  for (;;) fs.writeSync(big, Buffer.alloc(1 << 16));
};
""",
    "log": """
export const handler = () => {
  for (let n = 0; n < 3000; n++) console.log("x".repeat(1000));
  return "done";
};
""",
    "reply": 'export const handler = () => "x".repeat((10 << 20) + 1);\n',
}


@dataclass
class Breach:
    """One limit: how it is set, what the breach answers."""

    case: str
    settings: dict[str, Any]
    limits: str
    status: int
    code: str


BREACHES = [
    Breach("spin", {"timeout": "1s"}, "", 504, "FN_002"),
    Breach("grow", {"memory": "128MB"}, "", 502, "FN_003"),
    Breach("pids", {"memory": "1GB"}, "pids = 24", 502, "FN_025"),
    Breach("threads", {"memory": "512MB"}, "pids = 24", 502, "FN_025"),
    Breach("tmp", {"memory": "256MB"}, 'tmp = "8MB"', 502, "FN_026"),
    Breach("reply", {}, "", 413, "FN_011"),
]


def deploy(server: Server, tmp_path: Path, name: str, language: str, case: str, limits: str, **settings: Any) -> None:
    code = PYTHON[case] if language == "python" else {"index.mjs": NODE[case]}
    if language == "node":
        settings |= {"runtime": "node", "entrypoint": "index:handler"}
    folder = write_function(tmp_path, name, code, **settings)
    manifest = folder / "faas.toml"
    manifest.write_text(manifest.read_text(encoding="utf-8") + f"[limits]\n{limits}\n", encoding="utf-8")
    server.deploy(folder)


@pytest.mark.needs("cgroups")
@pytest.mark.parametrize("language", ["python", "node"])
@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: breach.case)
def test_a_breach_has_its_code(server: Server, tmp_path: Path, name: str, breach: Breach, language: str) -> None:
    if breach.case not in (PYTHON if language == "python" else NODE):
        return
    deploy(server, tmp_path, name, language, breach.case, breach.limits, **breach.settings)
    began = time.monotonic()
    reply = server.api.call(name, timeout=60)
    assert (reply.status, reply.json().get("code")) == (breach.status, breach.code), reply.body[:500]
    if breach.code == "FN_002":
        assert time.monotonic() - began < 1 + 3 + 1
    run = server.api.finished(reply.headers["x-run-id"])
    assert (run["state"], run["error"]["code"], run["isolation"]) == ("failed", breach.code, 2)
    told = server.http.get("/metrics").expect(200).body.decode()
    assert re.search(rf'faas_errors_total{{function="{name}",code="{breach.code}"}} 1\n', told)
    assert breach.code in server.cli("explain", breach.code).ok().stdout


@pytest.mark.parametrize("language", ["python", "node"])
def test_a_log_beyond_its_limit_is_cut_and_told(server: Server, tmp_path: Path, name: str, language: str) -> None:
    deploy(server, tmp_path, name, language, "log", "")
    run_id = server.api.call(name).expect(200).headers["x-run-id"]
    cut = server.api.finished(run_id)["attempts"][0]["dropped_log_lines"]
    assert 1_500 < cut < 2_500

    def last() -> bool:
        shown = server.cli("runs", "logs", run_id, "-n", "2000").ok().stdout
        return "FN_027" in shown and f"{cut} lines were cut" in shown

    until(last, "the log says that it was cut")
    told = server.http.get("/metrics").expect(200).body.decode()
    assert f'faas_log_lines_cut_total{{function="{name}"}} {cut}\n' in told


@pytest.mark.needs("cgroups")
@pytest.mark.parametrize("language", ["python", "node"])
def test_a_spinning_function_gets_its_share(server: Server, tmp_path: Path, name: str, language: str) -> None:
    """By the kernel's account of its cgroup: CPU time used against time passed."""
    deploy(server, tmp_path, name, language, "spin", "", timeout="4s", cpu="250m")
    reply = server.api.call(name, timeout=30)
    assert reply.json()["code"] == "FN_002"
    attempt = server.api.finished(reply.headers["x-run-id"])["attempts"][0]
    # The quota is a ceiling whatever else the machine does; below it only a starved machine stays.
    assert 0.05 < attempt["cpu_ms"] / attempt["handler_ms"] <= 0.25 * 1.25, attempt


def test_an_init_beyond_its_limit(server: Server, tmp_path: Path, name: str) -> None:
    code = "import os, time\n\ntime.sleep(int(os.environ.get('SLOW', 0)))\n\n\ndef handler(event):\n    return 1\n"
    server.deploy(write_function(tmp_path, name, code, timeout="60s"))
    server.cli("vars", "set", name, "SLOW=90").ok()
    began = time.monotonic()
    reply = server.api.call(name, timeout=90)
    assert (reply.status, reply.json()["code"]) == (504, "FN_008")
    assert 29 < time.monotonic() - began < 45


def test_an_error_that_is_handled_fails_nothing(server: Server, tmp_path: Path, name: str) -> None:
    code = """
def handler(event):
    try:
        with open("/tmp/big", "wb") as big:
            while True:
                big.write(bytes(1 << 20))
    except OSError as error:
        return error.errno
"""
    folder = write_function(tmp_path, name, code, memory="256MB")
    server.deploy(folder)
    assert server.api.call(name).expect(200).json() == 28


def test_ranges_are_checked_with_the_key_and_a_fix(server: Server, tmp_path: Path, name: str) -> None:
    wrong = {"tmp = 5": "limits.tmp", "pids = 3": "limits.pids", 'disk = "1GB"': "limits.disk"}
    for line, key in wrong.items():
        folder = write_function(tmp_path / key, name, PYTHON["log"])
        manifest = folder / "faas.toml"
        manifest.write_text(manifest.read_text(encoding="utf-8") + f"[limits]\n{line}\n", encoding="utf-8")
        refused = server.cli("validate", folder).exits(5)
        assert key in refused.stderr + refused.stdout, refused


@pytest.mark.needs("cgroups")
def test_others_are_served_while_limits_are_breached(server: Server, tmp_path: Path, name: str) -> None:
    short = name[:40]
    deploy(server, tmp_path, f"{short}-bad", "python", "grow", "")
    server.deploy(write_function(tmp_path, f"{short}-good", "def handler(event):\n    return 'fine'\n"))
    bad = [threading.Thread(target=lambda: server.api.call(f"{short}-bad", timeout=60)) for _ in range(4)]
    for thread in bad:
        thread.start()
    for _ in range(20):
        assert server.api.call(f"{short}-good").expect(200).body == b"fine"
    for thread in bad:
        thread.join()
