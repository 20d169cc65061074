"""The bounds on what waits and on what is kept hold through SIGKILL, and the store's counts are those of its rows."""

from __future__ import annotations

import contextlib
import http.client
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from harness import Client, Server, until, write_function

KB, MB = 1024, 1024 * 1024
# Some bodies are stored with the run, the others as files of their own.
SIZES = (10 * KB, 50 * KB, 120 * KB)
WAITING, INPUTS, ANSWERS = 4 * MB, 3 * MB, 100 * KB
KILLS = 4
ECHO = "def handler(event, context):\n    return len(context.request.body)\n"
USAGE = {
    "input_usage": "SELECT project, function, sum(bytes) FROM kept_inputs GROUP BY project, function",
    "claim_usage": "SELECT project, function, sum(kept) FROM claims GROUP BY project, function",
}


class Flood:
    """Callers without a key who send as fast as they can, whatever becomes of the server."""

    def __init__(self, port: int) -> None:
        self.client = Client(port, key=None, timeout=20)
        self.accepted = self.refused = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(at,), daemon=True) for at in range(4)]
        for thread in self._threads:
            thread.start()

    def _send(self, at: int) -> None:
        sent = 0
        while not self._stop.is_set():
            sent += 1
            body = f"{at}-{sent}-".encode() * (SIZES[sent % 3] // 8)
            with contextlib.suppress(OSError, http.client.HTTPException):
                key = {"Idempotency-Key": f"{at}-{sent}"}
                status = self.client.request("POST", "/async/load", body, headers=key if sent % 2 else {}).status
                self.accepted += status == 202
                self.refused += status == 429
                self.client.request("POST", "/fn/load", body[: SIZES[0]], headers={"Idempotency-Key": f"s-{at}-{sent}"})

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def check_rows(server: Server) -> None:
    """What the store counts is what it holds. The server must not run."""
    with closing(sqlite3.connect(server.data / "faas.db")) as database:
        for table, query in USAGE.items():
            counted = dict(database.execute(f"SELECT hex(project || function), bytes FROM {table} WHERE bytes > 0"))
            held: dict[str, int] = {}
            for project, function, total in database.execute(query):
                for owner in (project + function, project):
                    held[owner.hex().upper()] = held.get(owner.hex().upper(), 0) + total
            assert counted == {owner: total for owner, total in held.items() if total}, table
        (waiting,) = database.execute("SELECT coalesce(sum(bytes), 0) FROM queue").fetchone()
        (keyless,) = database.execute("SELECT coalesce(sum(bytes), 0) FROM queue WHERE keyless = 1").fetchone()
        assert waiting == keyless <= WAITING // 2
        (kept,) = database.execute("SELECT coalesce(sum(bytes), 0) FROM kept_inputs").fetchone()
        assert kept <= INPUTS
        (answers,) = database.execute("SELECT coalesce(sum(length(reply)), 0) FROM claims").fetchone()
        assert answers <= ANSWERS
        inputs = "SELECT count(*) FROM inputs AS i WHERE NOT EXISTS (SELECT 1 FROM {} AS o WHERE o.run = i.run)"
        queued = inputs.format("queue").replace("NOT EXISTS", "EXISTS")
        counts = [database.execute(sql).fetchone()[0] for sql in (queued, "SELECT count(*) FROM kept_inputs")]
        assert sum(counts) == database.execute("SELECT count(*) FROM inputs").fetchone()[0]


def needed_bodies(server: Server) -> set[str]:
    """The files that rows of the store name."""
    with closing(sqlite3.connect(server.data / "faas.db")) as database:
        query = "SELECT blob FROM queue UNION SELECT blob FROM kept_inputs"
        return {blob.hex() for (blob,) in database.execute(query) if blob}


def large_files(data: Path) -> set[str]:
    """Stored bodies, by their digests."""
    files = [file for file in (data / "blobs").rglob("*") if file.is_file() and file.stat().st_size > 64 * KB]
    return {file.parent.name + file.name for file in files if len(file.parent.name) == 2}


def test_the_bounds_hold_over_kills() -> None:
    env = {
        "FAAS_BACKGROUND_WAITING_BYTES": f"{WAITING}",
        "FAAS_BACKGROUND_INPUT_BYTES": f"{INPUTS}",
        "FAAS_IDEMPOTENCY_ANSWER_BYTES": f"{ANSWERS}",
    }
    with Server(env=env) as server:
        server.deploy(write_function(server.home / "src", "load", ECHO, auth="public", scaling={"max": 1}))
        others = large_files(server.data)
        flood = Flood(server.port)
        try:
            for kill in range(1, KILLS + 1):
                # Held back, so that the bound is met, and let go, so that inputs of ended runs are.
                server.http.post("/api/v1/functions/load/pause").expect(200)
                refused = flood.refused
                until(lambda refused=refused: flood.refused > refused + 5, "callers are refused", within=60)
                server.http.post("/api/v1/functions/load/resume").expect(200)
                until(lambda kill=kill: flood.accepted > kill * 80, "runs end and others come", within=120)
                server.kill()
                check_rows(server)
                server.start()
        finally:
            flood.stop()
        until(lambda: server.metric("faas_background_waiting_bytes") == 0, "all runs have ended", within=60)
        assert server.http.request("POST", "/async/load", b"x" * KB, key=None).status == 202
        until(lambda: server.metric("faas_background_waiting_bytes") == 0, "the last one has ended")
        assert server.stop() == 0
        check_rows(server)
        needed, there = needed_bodies(server), large_files(server.data) - others
        assert needed <= there, "a body is missing"
        # What a kill left between the body and its row is collected later.
        assert len(there - needed) <= KILLS * 16
