"""A server that is stopped past its leases while another takes them, and then goes on as if nothing had been."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from harness import Server, until, write_function

from durability.ledger import Ledger, Senders, count_ends, run_id, until_quiet
from durability.test_accepted import LONG, assert_each_ended_once

# A try is a run whose lease was held by the server that stops.
TRIES, RUNS_A_STOP = (1_000, 100) if LONG else (20, 20)
INSTANCES = 4
LEASE = {"FAAS_LEASE": "1s"}
# Ends while its server is stopped: what it hands in afterwards is too late.
SLEEPER = "import asyncio\n\nasync def handler(n: int):\n    await asyncio.sleep(1)\n    return n\n"
# Each way in which a server learns that a lease is no longer its own: at the heartbeat, and at the commit.
LOST = re.compile(r"(the lease of a run was lost|a run ended after its lease was lost).*run_id=(run_\w+) epoch=(\d+)")

Lease = tuple[str, int]


def test_a_server_whose_leases_were_taken_ends_no_run_twice() -> None:
    ledger, tries, refused = Ledger(), 0, 0
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faas-takeover-"))) / "data"
        server = stack.enter_context(Server(data=data, env=LEASE))
        scaling = {"max": INSTANCES, "concurrency": RUNS_A_STOP // INSTANCES}
        server.deploy(write_function(server.home / "src", "work", SLEEPER, scaling=scaling))
        assert server.stop() == 0
        count_ends(server)
        server.start()
        while tries < TRIES:
            Senders(server, "work", ledger, RUNS_A_STOP, threads=4).start().join(30)
            until(lambda: len(leases(data)) >= RUNS_A_STOP // 2, "half of them run", within=30, every=0.005)
            stop_between_writes(server)
            held = leases(data)
            # The lock of a data directory ends with its process, and this one only sleeps: as on a file system that
            # forgets locks, the next server finds none.
            for lock in ("lock", "spawner.lock"):
                (data / lock).unlink()
            successor = stack.enter_context(Server(data=data, env=LEASE))
            until_quiet(successor, within=60)
            os.kill(server.pid, signal.SIGCONT)
            until(lambda server=server, held=held: held <= set(lost(server)), "each is refused", within=30)
            tries += len(held)
            refused += list(lost(server).values()).count("a run ended after its lease was lost")
            server.kill()
            server = successor
        print(f"{tries} leases lost, {refused} of them noticed at the commit")
        assert_each_ended_once(server, ledger)
    ledger.close()


def leases(data: Path) -> set[Lease]:
    """Runs that somebody holds, with the epochs of their leases."""
    with contextlib.closing(sqlite3.connect(f"file:{data / 'faas.db'}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT run, epoch FROM queue WHERE worker IS NOT NULL").fetchall()
    return {(run_id(run), epoch) for run, epoch in rows}


def lost(server: Server) -> dict[Lease, str]:
    """Leases that the server knows to be no longer its own, with how it learnt of it."""
    return {(run, int(epoch)): how for how, run, epoch in LOST.findall(server.log())}


def stop_between_writes(server: Server) -> None:
    """SIGSTOP at a moment when it has no transaction open, for nobody could take anything from it then."""
    for _ in range(100):
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(0.02)
        with contextlib.closing(sqlite3.connect(server.data / "faas.db", timeout=0, isolation_level=None)) as database:
            try:
                database.execute("BEGIN IMMEDIATE").execute("ROLLBACK")
                return
            except sqlite3.OperationalError:
                os.kill(server.pid, signal.SIGCONT)
                time.sleep(0.003)
    raise AssertionError("the server writes all the time")
