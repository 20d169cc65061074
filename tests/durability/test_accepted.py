"""Once a run is accepted it reaches one terminal state, whatever happens to the server."""

from __future__ import annotations

import http.client
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import Client, Server, until, write_function

from durability.ledger import Ledger, Senders, count_ends, ends, until_quiet

LONG = os.environ.get("FAAS_LONG") == "1"
KILLS, RUNS = (50, 10_000) if LONG else (5, 1_000)
KEYS, RUNS_A_KEY = (100, 100) if LONG else (20, 20)
STOPS, RUNS_A_STOP = (20, 50) if LONG else (2, 20)
QUICK = "import time\n\ndef handler(n: int):\n    time.sleep(0.002)\n    return n\n"
SLOW = "import time\n\ndef handler(n: int):\n    time.sleep(1.5)\n    return n\n"
SUCCEEDED = 2


@contextmanager
def counting_server(code: str, env: dict[str, str] | None = None) -> Iterator[Server]:
    """A server with one function, `work`, whose store counts the commits of terminal states."""
    with Server(env=env) as server:
        server.deploy(write_function(server.home / "src", "work", code, scaling={"max": 4}))
        assert server.stop() == 0
        count_ends(server)
        yield server.start()


def assert_each_ended_once(server: Server, ledger: Ledger) -> None:
    """Compares what clients hold with what the store holds."""
    promised = [run for run, _ in ledger.read()]
    assert server.stop() == 0
    committed = Counter(run for run, _ in ends(server))
    lost = [run for run in promised if committed[run] == 0]
    double = [run for run, count in committed.items() if count > 1]
    assert lost == [], f"{len(lost)} of {len(promised)} accepted runs are lost"
    assert double == [], f"{len(double)} of {len(committed)} runs ended twice"
    assert {state for _, state in ends(server)} == {SUCCEEDED}


def test_no_accepted_run_is_lost_and_none_ends_twice_over_kills() -> None:
    ledger = Ledger()
    dice = random.Random(4)
    with counting_server(QUICK) as server:
        senders = Senders(server, "work", ledger, RUNS).start()
        for kill in range(1, KILLS + 1):
            goal = RUNS * kill // (KILLS + 1)
            until(lambda goal=goal: senders.accepted() >= goal, f"{goal} promises", within=120, every=0.005)
            time.sleep(dice.random() * 0.05)
            server.kill()
            server.start()
        senders.join(120)
        until_quiet(server, within=120)
        assert len(ledger.read()) >= RUNS
        assert_each_ended_once(server, ledger)
    ledger.close()


def test_a_server_that_slept_past_its_leases_ends_no_run_twice() -> None:
    ledger = Ledger()
    with counting_server(SLOW, {"FAAS_LEASE": "1s"}) as server:
        for _ in range(STOPS):
            Senders(server, "work", ledger, RUNS_A_STOP, threads=2).start().join(30)
            until(lambda: server.api.runs("?state=running&limit=1"), "something runs")
            os.kill(server.pid, signal.SIGSTOP)
            time.sleep(2)
            os.kill(server.pid, signal.SIGCONT)
            until_quiet(server, within=120)
        assert_each_ended_once(server, ledger)
    ledger.close()


def test_runs_of_one_ordering_key_end_in_order_over_kills() -> None:
    ledger = Ledger()
    with counting_server(QUICK) as server:
        client = Client(server.port, server.key, timeout=20)
        senders = [
            threading.Thread(target=_send_in_order, args=(client, ledger, f"key-{key}"), daemon=True)
            for key in range(KEYS)
        ]
        for sender in senders:
            sender.start()
        for kill in range(1, 4):
            goal = KEYS * RUNS_A_KEY * kill // 4
            until(lambda goal=goal: len(ledger.read()) >= goal, f"{goal} promises", within=120, every=0.05)
            server.kill()
            server.start()
        for sender in senders:
            sender.join(120)
        until_quiet(server, within=240)
        key_of = dict(ledger.read())
        wanted = defaultdict(list)
        for run, key in ledger.read():
            wanted[key].append(run)
        assert_each_ended_once(server, ledger)
        found = defaultdict(list)
        for run, _ in ends(server):
            # A run whose promise was cut off is nobody's; it may lie between two that were promised.
            if run in key_of:
                found[key_of[run]].append(run)
        assert found == wanted
    ledger.close()


def _send_in_order(client: Client, ledger: Ledger, key: str) -> None:
    sent = 0
    while sent < RUNS_A_KEY:
        try:
            reply = client.post("/async/work", {"n": sent}, headers={"X-Ordering-Key": key})
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
            continue
        if reply.status == 202:
            ledger.note(reply.json()["run_id"], key)
            sent += 1


def test_one_idempotency_key_makes_one_run_over_a_kill() -> None:
    with counting_server(QUICK) as server:
        client = Client(server.port, server.key, timeout=20)
        answers: list[str] = []
        callers = [threading.Thread(target=_insist, args=(client, answers), daemon=True) for _ in range(100)]
        for caller in callers:
            caller.start()
        until(lambda: len(answers) >= 1, "one has an answer", within=60, every=0.001)
        server.kill()
        server.start()
        for caller in callers:
            caller.join(60)
        assert len(answers) == 100
        assert len(set(answers)) == 1, f"{len(set(answers))} runs"
        until_quiet(server, within=60)
        assert server.stop() == 0
        assert ends(server) == [(answers[0], SUCCEEDED)]


def _insist(client: Client, answers: list[str]) -> None:
    """Sends the same request until it is answered, as a careful caller does."""
    while True:
        try:
            reply = client.post("/async/work", {"n": 1}, headers={"Idempotency-Key": "order-17"})
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
            continue
        assert reply.status == 202, reply.body
        answers.append(reply.json()["run_id"])
        return


def test_a_stopping_server_costs_no_attempt(tmp_path: Path) -> None:
    with counting_server(SLOW) as server:
        runs = [server.http.post("/async/work", {"n": n}).json()["run_id"] for n in range(12)]
        until(lambda: server.api.runs("?state=running&limit=1"), "something runs")
        assert server.stop() == 0
        server.start()
        for run in runs:
            record = server.api.finished(run) if server.api.run(run).json()["finished_at"] else None
            record = record or until(lambda run=run: _ended(server, run), f"{run} has ended", within=60)
            assert record["state"] == "succeeded"
            assert [attempt["number"] for attempt in record["attempts"]] == [1]


def _ended(server: Server, run: str) -> dict[str, object] | None:
    record = server.api.run(run).json()
    return record if record["finished_at"] else None
