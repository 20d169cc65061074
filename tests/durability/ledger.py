"""What clients were promised, kept apart from the server, and what the server's store says of it afterwards."""

from __future__ import annotations

import http.client
import sqlite3
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from harness import Client, Server, until

STAMP = """
CREATE TABLE test_ends (seq INTEGER PRIMARY KEY AUTOINCREMENT, run BLOB NOT NULL, state INTEGER NOT NULL);
CREATE TRIGGER test_ends_new AFTER INSERT ON runs WHEN NEW.ended = 1
BEGIN INSERT INTO test_ends (run, state) VALUES (NEW.id, NEW.state); END;
CREATE TRIGGER test_ends_again AFTER UPDATE ON runs WHEN NEW.ended = 1
BEGIN INSERT INTO test_ends (run, state) VALUES (NEW.id, NEW.state); END;
"""
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def count_ends(server: Server) -> None:
    """Has every commit of a terminal state leave a row, in the same transaction. The server must be stopped."""
    with sqlite3.connect(server.data / "faas.db") as database:
        database.executescript(STAMP)
    database.close()


def ends(server: Server) -> list[tuple[str, int]]:
    """Each commit of a terminal state, in order: the run and its state's number."""
    with sqlite3.connect(f"file:{server.data / 'faas.db'}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT run, state FROM test_ends ORDER BY seq").fetchall()
    database.close()
    return [(run_id(run), state) for run, state in rows]


def run_id(raw: bytes) -> str:
    """A run's id as the API writes it."""
    number, text = int.from_bytes(raw, "big"), ""
    for _ in range(26):
        number, digit = divmod(number, 32)
        text = ALPHABET[digit] + text
    return f"run_{text}"


class Ledger:
    """Promises of a server, each written to a file outside its data directory as it is received."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="faas-ledger-")) / "accepted"
        self._file = self.path.open("a", encoding="ascii")
        self._lock = threading.Lock()

    def note(self, run: str, label: str = "-") -> None:
        """A 202 has arrived."""
        with self._lock:
            self._file.write(f"{run} {label}\n")
            self._file.flush()

    def read(self) -> list[tuple[str, str]]:
        """Every promise, in the order of arrival, with its label."""
        lines = self.path.read_text(encoding="ascii").splitlines()
        return [(run, label) for run, label in (line.split() for line in lines)]

    def close(self) -> None:
        """Removes the file."""
        self._file.close()
        self.path.unlink()
        self.path.parent.rmdir()


class Senders:
    """Threads that have runs accepted until there are enough, whatever happens to the server meanwhile."""

    def __init__(
        self,
        server: Server,
        function: str,
        ledger: Ledger,
        total: int,
        threads: int = 8,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.client = Client(server.port, server.key, timeout=20)
        self.function, self.ledger, self.total, self.headers = function, ledger, total, headers
        self.answers: Counter[str] = Counter()
        self._next, self._lock = 0, threading.Lock()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(threads)]

    def start(self) -> Senders:
        """Begins."""
        for thread in self._threads:
            thread.start()
        return self

    def accepted(self) -> int:
        """Promises so far."""
        return self.answers["202"]

    def join(self, within: float) -> None:
        """Waits until all are sent."""
        until(lambda: not any(thread.is_alive() for thread in self._threads), "all is sent", within=within, every=0.1)

    def _send(self) -> None:
        while True:
            with self._lock:
                if self.answers["202"] >= self.total:
                    return
                self._next += 1
                number = self._next
            outcome = self._one(number)
            with self._lock:
                self.answers[outcome] += 1

    def _one(self, number: int) -> str:
        try:
            reply = self.client.post(f"/async/{self.function}", {"n": number}, headers=self.headers)
        except (OSError, http.client.HTTPException):
            threading.Event().wait(0.05)
            return "cut"
        if reply.status == 202:
            self.ledger.note(reply.json()["run_id"])
        return str(reply.status)


def until_quiet(server: Server, within: float) -> None:
    """Waits until nothing is queued, running or retried."""

    def open_runs() -> list[dict[str, Any]]:
        return [run for state in ("queued", "running", "retried") for run in server.api.runs(f"?state={state}&limit=1")]

    until(lambda: not open_runs(), "every run has ended", within=within, every=0.1)
