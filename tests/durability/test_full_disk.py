"""The disk runs full while clients go on sending: they are refused in so many words, and nothing accepted is lost."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest
from harness import Client, Reply, Server, until, write_function
from harness.disk import PowerCutDisk

from durability.crew import Crew
from durability.ledger import Ledger, count_ends, until_quiet
from durability.test_accepted import QUICK, assert_each_ended_once

THREADS = 8
# Longer than any answer may take, also from a server that cannot write.
PATIENCE = 10
# Bytes that are left on a disk called full: more than the server writes while it is being filled.
SCRAP = 1 << 20
ACCEPTED, REFUSED = "accepted", "refused"


class Clients(Crew):
    """Threads that have runs accepted until they are stopped. What is neither accepted nor well refused is kept."""

    def __init__(self, server: Server, ledger: Ledger) -> None:
        super().__init__(THREADS, patience=2 * PATIENCE)
        self.client, self.ledger = Client(server.port, server.key, timeout=PATIENCE), ledger
        self.answers: Counter[str] = Counter()
        self.slowest = 0.0

    def reach(self, outcome: str, more: int) -> None:
        """Waits for so many more answers of a kind."""
        wanted = self.answers[outcome] + more
        try:
            until(lambda: self.answers[outcome] >= wanted, f"{more} more are {outcome}", within=30, every=0.005)
        except AssertionError as error:
            raise AssertionError(f"{error}; so far {dict(self.answers)}") from None

    def work(self, number: int) -> None:
        while not self.stopping.is_set():
            began = time.monotonic()
            outcome = self._one()
            with self.lock:
                self.answers[outcome] += 1
                self.slowest = max(self.slowest, time.monotonic() - began)
            if outcome != ACCEPTED:
                time.sleep(0.005)

    def _one(self) -> str:
        try:
            reply = self.client.post("/async/work", {"n": 1})
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        if reply.status == 202:
            self.ledger.note(reply.json()["run_id"])
            return ACCEPTED
        return REFUSED if refused_well(reply) else f"{reply.status}: {reply.body!r}"


def refused_well(reply: Reply) -> bool:
    """Whether a client can tell what is wrong and what to do."""
    if reply.status != 503 or reply.headers["content-type"] != "application/problem+json":
        return False
    problem = json.loads(reply.body)
    return (problem["code"], problem["status"]) == ("FN_018", 503) and int(reply.headers["retry-after"]) > 0


def fill(path: Path) -> None:
    """
    Takes the room that is left, all but a scrap, at one stroke: the server writes the scrap full itself. It must not be
    out of room before this ends, or the room it then sets free for deletes would be taken as well.
    """
    disk = os.statvfs(path.parent)
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - SCRAP)


@pytest.mark.needs("root", "power_cuts")
def test_a_disk_that_runs_full_under_load_loses_nothing_and_heals(tmp_path: Path) -> None:
    ledger = Ledger()
    with PowerCutDisk(megabytes=600) as disk, Server(data=disk.path / "data") as server:
        server.deploy(write_function(tmp_path, "work", QUICK, scaling={"max": 2}))
        server.deploy(write_function(tmp_path, "doomed", QUICK))
        assert server.stop() == 0
        count_ends(server)
        server.start()
        filler = disk.path / "filler"
        with Clients(server, ledger) as clients:
            clients.reach(ACCEPTED, 200)
            fill(filler)
            clients.reach(REFUSED, 200)
            run = ledger.read()[0][0]
            # All that needs no room goes on.
            assert server.api.run(run).expect(200).json()["id"] == run
            assert len(server.api.runs("?limit=100")) == 100
            assert "work" in server.cli("fn", "list").ok().stdout
            assert server.api.invoke("work", {"n": 7}).expect(200).json() == {"result": 7}
            server.cli("fn", "delete", "doomed", "--yes").ok()
            assert server.http.get("/api/v1/functions/doomed").status == 404
            clients.reach(REFUSED, 50)
            filler.unlink()
            clients.reach(ACCEPTED, 200)
        print(f"{dict(clients.answers)}, the slowest after {clients.slowest:.2f} s")
        assert set(clients.answers) == {ACCEPTED, REFUSED}
        until_quiet(server, within=60)
        assert server.pid_status() is None
        assert_each_ended_once(server, ledger)
    ledger.close()
