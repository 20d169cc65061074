"""A message that was taken reaches every subscriber, whatever happens to the server."""

from __future__ import annotations

import http.client
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from harness import Api, Client, Server, until, write_function

from durability.ledger import Ledger, until_quiet

LONG = os.environ.get("FAAS_LONG") == "1"
KILLS, MESSAGES = (50, 20_000) if LONG else (5, 2_000)
SENT_AT_ONCE = 5
# The second leaves a third of its messages at the first attempt.
WHOLE = "def handler(event, context):\n    return len(event['messages'])\n"
PARTLY = """
def handler(event, context):
    messages = event["messages"]
    return {"failed": [m["id"] for m in messages if m["attempt"] == 1 and m["body"] % 3 == 0]}
"""
SUBSCRIBERS = {"whole": (WHOLE, 10, "0s"), "partly": (PARTLY, 25, "50ms")}


def deploy(server: Server, parent: Path) -> None:
    for name, (code, size, window) in SUBSCRIBERS.items():
        folder = write_function(parent, name, code, scaling={"max": 2})
        trigger = f'\n[[triggers]]\ntype = "queue"\ntopic = "orders"\nbatch_size = {size}\nbatch_window = "{window}"\n'
        trigger += '[triggers.retry]\nbackoff = "20ms"\n'
        (folder / "faas.toml").write_text((folder / "faas.toml").read_text() + trigger)
        server.deploy(folder)


class MessageSenders:
    """Threads that send until enough is promised, whatever happens to the server meanwhile."""

    def __init__(self, server: Server, ledger: Ledger, threads: int = 4) -> None:
        self.client = Api(Client(server.port, server.key, timeout=20))
        self.ledger, self.promised, self.lock = ledger, 0, threading.Lock()
        self.answers: Counter[str] = Counter()
        self.threads = [threading.Thread(target=self._send, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        until(lambda: not any(thread.is_alive() for thread in self.threads), "all is sent", within=120, every=0.1)

    def _send(self) -> None:
        while self.promised < MESSAGES:
            messages = [{"body": random.randrange(1000)} for _ in range(SENT_AT_ONCE)]
            try:
                reply = self.client.send_messages("orders", messages)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            with self.lock:
                self.answers[str(reply.status)] += 1
                if reply.status == 202:
                    ids = reply.json()["ids"]
                    self.promised += len(ids)
                    for message in ids:
                        self.ledger.note(message)


def all_runs(server: Server, function: str) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = server.http.get(f"/api/v1/runs?function={function}&limit=200{cursor}").expect(200).json()
        runs += page["items"]
        if page["next_cursor"] is None:
            return runs
        cursor = f"&cursor={page['next_cursor']}"


def test_no_message_is_lost_over_kills(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    ledger = Ledger()
    with Server() as server:
        deploy(server, tmp_path)
        senders = MessageSenders(server, ledger)
        for kill in range(1, KILLS + 1):
            goal = MESSAGES * kill // (KILLS + 1)
            until(lambda goal=goal: senders.promised >= goal, f"{goal} promises", within=120, every=0.005)
            time.sleep(dice.random() * 0.05)
            server.kill()
            server.start()
        senders.join()
        until(
            lambda: server.http.get("/api/v1/topics/orders").json()["depth"] == 0,
            "nothing waits",
            within=120,
            every=0.1,
        )
        until_quiet(server, within=120)
        promised = {message for message, _ in ledger.read()}
        assert len(promised) >= MESSAGES
        for function in SUBSCRIBERS:
            runs = all_runs(server, function)
            states = Counter(run["state"] for run in runs)
            assert set(states) == {"succeeded"}, states
            carried: Counter[str] = Counter()
            for run in runs:
                given = server.http.get(f"/api/v1/runs/{run['id']}/input").expect(200).json()["json"]["messages"]
                carried.update(message["id"] for message in given)
                assert (run["batch"]["messages"], run["batch"]["left"]) == (len(given), 0)
            lost = promised - set(carried)
            twice = [message for message, count in carried.items() if count > 1]
            assert not lost, f"{function}: {len(lost)} of {len(promised)} messages are lost"
            assert not twice, f"{function}: {len(twice)} messages are in two runs"
    ledger.close()
