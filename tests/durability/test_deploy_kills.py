"""SIGKILL of the client and of the server all over a deployment.

What served serves, nothing is half-written, and the next deployment works.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

from blake3 import blake3
from harness import Server, until, write_function

# Each is tried with the client and with the server, and is a part of the time that a deployment takes.
POINTS = 100 if os.environ.get("FAAS_LONG") else 20
FILES = 24
SEED = 5
NAME = "kept"
# Long enough that kills meet the check, too.
CODE = "import time\nimport data_0\n\ntime.sleep(0.15)\n\ndef handler():\n    return data_0.ROUND\n"


def write(server: Server, turn: int) -> Path:
    """A version of which most files are new, so that there is something to upload."""
    files = {f"data_{n}.py": f"ROUND = {turn}\nTEXT = '{turn}-{n}-" + "x" * 60_000 + "'\n" for n in range(FILES)}
    return write_function(server.home / "src", NAME, {"main.py": CODE} | files)


def spawn(server: Server, folder: Path) -> subprocess.Popen[bytes]:
    """A client that deploys."""
    return subprocess.Popen(
        [str(server.program), "deploy", str(folder), "-o", "json"],
        env=server.cli.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def versions(server: Server) -> list[dict[str, Any]]:
    listed = server.http.get(f"/api/v1/functions/{NAME}/versions").expect(200).json()["items"]
    return sorted(listed, key=lambda version: version["number"])


def check_consistent(server: Server, before: int) -> int:
    """Either nothing happened or a whole version did; returns the newest one's number."""
    function = server.api.function(NAME)
    newest, live = function["latest_version"], function["version"]
    assert newest in (before, before + 1), f"{before} was followed by {newest}"
    assert live == newest, "a version without its move of live, or the other way round"
    known = versions(server)
    assert [version["number"] for version in known] == list(range(1, newest + 1))[-len(known) :]
    files = server.http.get(f"/api/v1/functions/{NAME}/versions/live/files?limit=200").expect(200).json()["items"]
    assert len(files) == FILES + 2
    round_file = next(file for file in files if file["path"] == "data_0.py")
    path = f"/api/v1/functions/{NAME}/versions/live/file?path=data_0.py"
    content = server.http.get(path).expect(200).body
    assert blake3(content).hexdigest() == round_file["digest"]
    served = content.split(b"\n")[0].decode()
    reply = server.api.invoke(NAME, timeout=30).expect(200)
    assert served == f"ROUND = {reply.json()['result']}", "what is called is what is listed"
    assert reply.headers["x-function-version"] == str(live)
    return int(newest)


def settled(server: Server) -> bool:
    """Whether no deployment is under way: another one would be refused."""
    body = {"manifest": {"name": NAME, "entrypoint": "none:none"}, "files": []}
    return server.http.post(f"/api/v1/functions/{NAME}/deployments", body).status != 409


def drafts(server: Server) -> list[Path]:
    """What a write that was cut short leaves until the next start."""
    layers = [path for path in (server.data / "layers").iterdir() if path.name.startswith(".draft")]
    blobs = server.data / "blobs" / ".draft"
    return layers + (list(blobs.iterdir()) if blobs.is_dir() else [])


def deploy_next(server: Server, turn: int, before: int) -> int:
    """The next deployment works, and gets the next number."""
    deployed = server.deploy(write(server, turn))
    assert deployed["version"] == before + 1
    assert server.api.invoke(NAME).expect(200).json() == {"result": turn}
    return before + 1


def check_store(server: Server) -> None:
    """The stopped server's database is whole, and every blob is what its name says."""
    for name in ("faas.db", "logs.db"):
        with sqlite3.connect(server.data / name) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    blobs = [path for path in (server.data / "blobs").glob("??/*") if path.is_file()]
    assert len(blobs) > FILES
    for path in blobs:
        assert blake3(path.read_bytes()).hexdigest() == path.parent.name + path.name
    assert drafts(server) == []


def kill_one(server: Server, turn: int, delay: float, whom: str) -> tuple[bool, bool]:
    """Kills during a deployment; tells whether the client said that it succeeded, and whether it had ended before."""
    client = spawn(server, write(server, turn))
    time.sleep(delay)
    ended = client.poll() is not None
    if whom == "client":
        client.send_signal(signal.SIGKILL)
    else:
        server.kill()
        server.start()
    output, _ = client.communicate(timeout=120)
    succeeded = client.returncode == 0
    if succeeded:
        assert json.loads(output)["function"] == NAME
    return succeeded, ended


def test_kills_all_over_a_deployment() -> None:
    chance = random.Random(SEED)
    with Server() as server:
        newest = deploy_next(server, 0, 0)
        times = []
        for turn in (1, 2, 3):
            folder = write(server, turn)
            began = time.monotonic()
            client = spawn(server, folder)
            client.communicate(timeout=60)
            times.append(time.monotonic() - began)
            newest += 1
        whole = sorted(times)[0]
        turn, seen = 4, {"client": {"kept": 0, "moved": 0}, "server": {"kept": 0, "moved": 0}}
        for whom in ("client", "server"):
            met = 0
            for point in range(POINTS):
                delay = whole * (point + chance.random()) / POINTS
                succeeded, ended = kill_one(server, turn, delay, whom)
                met += not ended
                until(lambda: settled(server), "what the server had begun has ended", within=60)
                after = check_consistent(server, newest)
                assert after == newest + 1 or not succeeded, "the client was told of a version that is not there"
                seen[whom]["moved" if after > newest else "kept"] += 1
                newest = deploy_next(server, turn + 1, after)
                turn += 2
            assert met >= POINTS * 0.75, f"only {met} of {POINTS} kills met a deployment"
        print(f"a deployment takes {whole * 1000:.0f} ms; after {2 * POINTS} kills: {seen}")
        assert seen["client"]["kept"] > 0, "no kill of the client came early enough to hold a deployment back"
        assert server.stop() == 0
        server.start()
        assert drafts(server) == [], "a start clears what was cut short"
        assert check_consistent(server, newest) == newest
        assert server.stop() == 0
        check_store(server)
        assert server.footprint.leftovers() == []
