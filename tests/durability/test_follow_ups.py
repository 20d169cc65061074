"""What follows the end of a run comes with that end, whatever happens to the server."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path

from harness import Server, until, write_function
from product.receiver import Receiver

from durability.ledger import Ledger, Senders, until_quiet

LONG = os.environ.get("FAAS_LONG") == "1"
KILLS, RUNS = (50, 5_000) if LONG else (6, 400)
WORK = "import time\n\ndef handler(n: int):\n    time.sleep(0.002)\n    return n\n"
AFTER = "def handler(event, context):\n    return event['data']['run_id']\n"
ENV = {"FAAS_CALLBACKS_ALLOW": "127.0.0.1", "FAAS_CALLBACKS_BACKOFF": "100ms", "FAAS_CALLBACKS_ATTEMPTS_MAX": "50"}


def deploy(server: Server, source: Path) -> None:
    server.deploy(write_function(source, "after", AFTER, scaling={"max": 2}))
    folder = write_function(source, "work", WORK, scaling={"max": 4})
    with (folder / "faas.toml").open("a", encoding="utf-8") as file:
        file.write('\n[background]\non_success = "after"\n')
    server.deploy(folder)


def records(server: Server) -> list[dict[str, object]]:
    """Every ended run as the store holds it. The server must be stopped."""
    with sqlite3.connect(server.data / "faas.db") as database:
        rows = database.execute("SELECT record FROM runs WHERE ended = 1").fetchall()
        left = database.execute("SELECT count(*) FROM callbacks").fetchone()[0]
    database.close()
    assert left == 0, f"{left} callbacks are still waiting"
    return [json.loads(row[0]) for row in rows]


def test_no_callback_is_lost_and_each_run_is_sent_on_once_over_kills() -> None:
    ledger = Ledger()
    dice = random.Random(7)
    with Server(env=ENV) as server, Receiver() as receiver:
        deploy(server, server.home / "src")
        wanted = {"X-Callback-Url": receiver.url()}
        senders = Senders(server, "work", ledger, RUNS, headers=wanted).start()
        for kill in range(1, KILLS + 1):
            goal = RUNS * kill // (KILLS + 1)
            until(lambda goal=goal: senders.accepted() >= goal, f"{goal} promises", within=120, every=0.005)
            time.sleep(dice.random() * 0.2)
            # Failures of the receiver too, so that some callbacks wait for their next attempt.
            receiver.answers.extend([500] * 5)
            server.kill()
            server.start()
        senders.join(120)
        until_quiet(server, within=120)
        promised = {run for run, _ in ledger.read()}

        def untold() -> set[str]:
            told = {delivery.headers["webhook-id"] for delivery in receiver.deliveries}
            return promised - told

        until(lambda: not untold(), "every promised run is told of", within=120, every=0.1)
        pending = "SELECT count(*) FROM callbacks"
        until(lambda: count(server, pending) == 0, "every callback is settled", within=120, every=0.1)
        assert server.stop() == 0
        runs = records(server)
    ended = {str(run["id"]): run for run in runs if subject(run)["name"] == "work"}
    sent_on = [run for run in runs if subject(run)["name"] == "after"]
    assert promised <= ended.keys()
    origins = Counter(str(run["origin"]) for run in sent_on)
    assert origins.keys() == ended.keys(), "a run was not sent on"
    assert set(origins.values()) == {1}, "a run was sent on twice"
    for run, record in ended.items():
        completion = record["completion"]
        assert isinstance(completion, dict)
        assert completion["callback"]["state"] == "delivered", (run, completion)
    named = {str(record["completion"]["destination"]["run_id"]) for record in ended.values()}  # type: ignore[index]
    assert named == {str(run["id"]) for run in sent_on}
    assert {run["state"] for run in sent_on} == {"succeeded"}
    ledger.close()


def subject(run: dict[str, object]) -> dict[str, object]:
    """The function that ran."""
    return run["subject"]["function"]  # type: ignore[index,no-any-return]


def count(server: Server, query: str) -> int:
    """A number out of the store while the server runs."""
    with sqlite3.connect(f"file:{server.data / 'faas.db'}?mode=ro", uri=True) as database:
        number = int(database.execute(query).fetchone()[0])
    database.close()
    return number
