"""Planted secrets are where they belong and nowhere else: not on disk, in no log, in no command line or environment."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from harness import Reply, Server, until, write_function
from harness.machine import ORDINARY_UID

PYTHON = """
import base64, json, os, sys

print("loaded with", os.environ["API_KEY"])

def handler(mode: str = "log"):
    key, url = os.environ["API_KEY"], os.environ["DATABASE"]
    print("plain", key)
    print("json", json.dumps({"key": key, "url": url}), file=sys.stderr)
    print("basic", base64.b64encode(b"user:" + key.encode()).decode())
    if mode == "raise":
        raise ValueError("not with " + key + " at " + url)
    if mode == "answer":
        return {"key": key}
    return {"ends": key[-4:]}
"""

NODE = """
console.log("loaded with", process.env.API_KEY);
export function handler({ mode }) {
  const { API_KEY: key, DATABASE: url } = process.env;
  console.log("plain", key);
  console.error("json", JSON.stringify({ key, url }));
  console.log("basic", Buffer.from("user:" + key).toString("base64"));
  if (mode === "raise") throw new Error(`not with ${key} at ${url}`);
  if (mode === "answer") return { key };
  return { ends: key.slice(-4) };
}
"""

MANIFEST = """
[vars]
API_KEY = "${secrets.API_KEY}"
DATABASE = "postgres://app:${secrets.PASSWORD}@db/app"

[background.retry]
max_attempts = 2
backoff = "10ms"
"""

WAYS = ["python"] + [language for language in ("node",) if shutil.which(language)]


def _planted() -> str:
    """A secret that no other text holds, with what has to be escaped in it."""
    return f'plant-{secrets.token_hex(16)}/+ä"{secrets.token_hex(4)}'


def _forms(secret: str) -> dict[str, bytes]:
    """How a secret might lie about."""
    raw = secret.encode()
    return {
        "plain": raw,
        "json": json.dumps(secret)[1:-1].encode(),
        "utf-8 json": json.dumps(secret, ensure_ascii=False)[1:-1].encode(),
        "base64": base64.b64encode(raw).rstrip(b"=")[:-1],
        "basic": base64.b64encode(b"user:" + raw).rstrip(b"=")[8:-1],
        "utf-16": secret.encode("utf-16-le"),
        # What a page or a line that was cut in the middle would still hold.
        "part": raw[:24],
    }


def _deploy(server: Server, way: str, parent: Path) -> str:
    name = f"uses-{way}"
    files = {"main.py": PYTHON} if way == "python" else {"main.mjs": NODE}
    folder = write_function(parent, name, files, runtime=way, entrypoint="main:handler")
    with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
        manifest.write(MANIFEST)
    server.deploy(folder)
    return name


def _result(reply: Reply) -> Any:
    """What the handler returned, whether its runtime wraps it or not."""
    answer = reply.expect(200).json()
    return answer.get("result", answer)


def _set(server: Server, name: str, value: str, *args: str) -> None:
    server.cli("secrets", "set", name, *args, stdin=value).ok()


def _own_processes(server: Server) -> list[Path]:
    """The server's and all below it that are in the server's own mount namespace: outside of every sandbox."""
    outside = os.readlink(f"/proc/{server.pid}/ns/mnt")
    server.footprint.look(server.pid)
    found = []
    for process in server.footprint.processes:
        with suppress(OSError):
            if os.readlink(f"/proc/{process.pid}/ns/mnt") == outside:
                found.append(Path(f"/proc/{process.pid}"))
    return found


def _find(server: Server, planted: list[str]) -> list[str]:
    """Every place that holds a planted secret in any form. The sandboxes' own memory is not looked at."""
    forms = [(secret[:10], form, text) for secret in planted for form, text in _forms(secret).items()]
    hits = []

    def look(place: object, content: bytes) -> None:
        hits.extend(f"{place}: {secret} as {form}" for secret, form, text in forms if text in content)

    looked = 0
    for path in (p for p in server.home.rglob("*") if p.is_file() and not p.is_symlink() and "src" not in p.parts):
        with suppress(FileNotFoundError):
            look(path, path.read_bytes())
            looked += 1
    assert looked > 10, "the data directory is not where the test looks"
    if server.pid_status() is None:
        processes = list(_own_processes(server))
        assert len(processes) >= 2, "the test sees neither server nor spawner"
        for process in processes:
            for what in ("cmdline", "environ"):
                with suppress(OSError):
                    look(process / what, (process / what).read_bytes())
    return hits


def _call_all(server: Server, names: list[str], key: str) -> list[str]:
    """Calls in every mode; returns the runs."""
    runs = []
    for name in names:
        for mode in ("log", "answer", "raise"):
            reply = server.api.call(name, {"mode": mode})
            assert reply.status == (502 if mode == "raise" else 200), reply.body
            runs.append(reply.headers["x-run-id"])
            if mode == "log":
                assert _result(reply) == {"ends": key[-4:]}
            if mode == "raise":
                assert "[secret API_KEY]" in reply.body.decode() and "[secret PASSWORD]" in reply.body.decode()
        later = server.http.post(f"/async/{name}/", {"mode": "raise"}).expect(202)
        runs.append(later.json()["run_id"])
    for run in runs:
        assert server.api.finished(run)
        lines = server.api.log_lines(run, 3)
        said = json.dumps(lines)
        assert said.count("[secret API_KEY]") >= 3, said
    return runs


@pytest.mark.needs("root")
def test_planted_secrets_are_nowhere(tmp_path: Path) -> None:
    with Server() as server:
        planted = [_planted() for _ in range(4)]
        key, password, rotated, staged = planted
        _set(server, "API_KEY", key)
        _set(server, "PASSWORD", password)
        _set(server, "API_KEY", staged, "--stage", "staging")
        names = [_deploy(server, way, tmp_path) for way in WAYS]
        control = _planted()
        server.cli("vars", "set", names[0], "--file", "-", stdin=f"CONTROL='{control}'").ok()
        _call_all(server, names, key)
        assert _find(server, [control]), "the search would not find a secret either"
        assert _find(server, planted) == []
        _set(server, "API_KEY", rotated)
        _call_all(server, names, rotated)
        server.http.post("/api/v1/system/encryption-key/rotate", {}).expect(200)
        server.api.call(names[0], {"mode": "raise"})
        assert _find(server, planted) == []
        server.kill()
        assert _find(server, planted) == []
        server.start()
        _call_all(server, names, rotated)
        for listed in ("secrets", "secrets?stage=staging", "vars", f"functions/{names[0]}/env"):
            assert key not in server.http.get(f"/api/v1/{listed}").expect(200).body.decode()
        assert _find(server, planted) == []
        server.stop()
        assert _find(server, planted) == []


@pytest.mark.needs("ordinary", "userns")
def test_a_crash_writes_no_core(tmp_path: Path) -> None:
    """The kernel asks one thing before it dumps a process, and shows the answer: what may not be dumped is root's."""
    with Server(ordinary_user=True) as server:
        assert (os.stat(f"/proc/{server.pid}").st_uid, os.stat(f"/proc/{server.pid}/io").st_uid) == (ORDINARY_UID, 0)
        os.kill(server.pid, signal.SIGABRT)
        assert server.process is not None
        assert server.process.wait(10) == -signal.SIGABRT
        assert not [path for path in server.home.rglob("*core*") if path.is_file()]


def _secret_rows(server: Server) -> sqlite3.Connection:
    return sqlite3.connect(server.data / "faas.db")


def test_swapped_rows_do_not_open(tmp_path: Path) -> None:
    with Server() as server:
        _set(server, "API_KEY", "the-key-of-one-thing")
        _set(server, "PASSWORD", "the-password-of-another")
        name = _deploy(server, "python", tmp_path)
        server.api.call(name, {}).expect(200)
        server.stop()
        with closing(_secret_rows(server)) as database, database:
            rows = dict(database.execute("SELECT name, value FROM entries WHERE collection = 'secrets'").fetchall())
            for at, other in (("prod/API_KEY", "prod/PASSWORD"), ("prod/PASSWORD", "prod/API_KEY")):
                sql = "UPDATE entries SET value = ? WHERE collection = 'secrets' AND name = ?"
                assert database.execute(sql, (rows[other], at)).rowcount == 1
        server.start()
        reply = server.api.call(name, {})
        assert (reply.status, reply.json()["code"]) == (502, "FN_029")
        assert "does not open" in reply.json()["detail"], reply.body
        assert server.metric("faas_instances") == 0, "it started with what it should not have"
        # Set again, it works again, without a deployment.
        _set(server, "API_KEY", "the-key-of-one-thing")
        _set(server, "PASSWORD", "the-password-of-another")
        assert _result(server.api.call(name, {})) == {"ends": "hing"}


def test_a_rekey_that_is_killed_leaves_all_readable(tmp_path: Path) -> None:
    """Killed at a dozen points, it leaves every secret readable; run to its end, everything is under the newest key."""
    values = {f"S{n:03}": f"value-{n:03}-{secrets.token_hex(8)}" for n in range(60)}
    code = "import os\n\ndef handler():\n    return {k: v for k, v in os.environ.items() if k.startswith('S0')}\n"
    with Server() as server:
        for name, value in values.items():
            server.http.request("PUT", f"/api/v1/secrets/{name}", json_body={"value": value}).expect(200)
        folder = write_function(tmp_path, "reads", code)
        with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
            manifest.write("[vars]\n" + "".join(f'{name} = "${{secrets.{name}}}"\n' for name in values))
        server.deploy(folder)
        server.http.post("/api/v1/settings/callback-secret/rotate", {}).expect(200)
        took = _rekey_time(server)
        for turn in range(12):
            killer = threading.Timer(took * (turn + 1) / 12, server.kill)
            killer.start()
            with suppress(OSError, AssertionError):
                server.http.post("/api/v1/system/encryption-key/rotate", {}, timeout=60)
            killer.join()
            server.start()
            assert _result(server.api.call("reads", {})) == values, f"after kill {turn}"
        report = server.http.post("/api/v1/system/encryption-key/rotate", {}, timeout=60).expect(200).json()
        assert report["unreadable"] == []
        server.stop()
        assert len(_ring_keys(server)) >= 3
        assert _keys_in_use(server) == {_ring_keys(server)[-1]}
        server.start()
        assert _result(server.api.call("reads", {})) == values


def _rekey_time(server: Server) -> float:
    begun = time.monotonic()
    report = server.http.post("/api/v1/system/encryption-key/rotate", {}, timeout=60).expect(200).json()
    assert report == {"resealed": 61, "unreadable": []}, report
    return time.monotonic() - begun


def _ring_keys(server: Server) -> list[int]:
    lines = (server.data / "secret.keys").read_text(encoding="ascii").splitlines()
    return [int(line.split()[0]) for line in lines]


def _keys_in_use(server: Server) -> set[int]:
    """The numbers of the ring's keys under which something is sealed."""
    with closing(_secret_rows(server)) as database:
        sql = (
            "SELECT value FROM entries WHERE collection = 'secrets' OR (collection = 'settings' AND name = 'callbacks')"
        )
        records = [json.loads(value) for (value,) in database.execute(sql)]
    sealed = [item["sealed"] for record in records for item in record.get("versions", record.get("secrets"))]
    assert len(sealed) == 61
    return {int.from_bytes(base64.b64decode(text)[1:5], "little") for text in sealed}


def test_a_secret_changes_without_a_deployment(tmp_path: Path) -> None:
    """Under load no call fails, and after the change every new one has the new value."""
    with Server() as server:
        _set(server, "API_KEY", "first-of-many")
        _set(server, "PASSWORD", "password-of-many")
        name = _deploy(server, "python", tmp_path)
        server.api.call(name, {}).expect(200)
        failures: list[str] = []
        over = threading.Event()

        def call() -> None:
            while not over.is_set():
                reply = server.api.call(name, {})
                if reply.status != 200:
                    failures.append(reply.body.decode())

        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        for turn in range(5):
            _set(server, "API_KEY", f"number-{turn:04}")
            assert _result(server.api.call(name, {})) == {"ends": f"{turn:04}"}
        over.set()
        for caller in callers:
            caller.join(30)
        assert failures == []
        assert server.api.function(name)["latest_version"] == 1
        until(lambda: server.metric("faas_instances") <= 10, "replaced instances are gone")
