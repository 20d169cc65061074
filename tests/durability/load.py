"""Callers that never stop asking, with a bound, and count what they got."""

from __future__ import annotations

import http.client
from collections import Counter

from harness import Client

from durability.crew import Crew


class Load(Crew):
    """Some threads calling some functions until told to stop. Refused and cut connections are counted, not raised."""

    def __init__(self, client: Client, functions: list[str], threads: int = 6, most: int = 20_000) -> None:
        super().__init__(threads, patience=60)
        self.client, self.functions, self.most = client, functions, most
        self.answers: Counter[str] = Counter()

    def good(self) -> int:
        """Calls that were answered with 200 so far."""
        return self.answers["200"]

    def work(self, number: int) -> None:
        for turn in range(self.most):
            if self.stopping.is_set():
                return
            name = self.functions[(number + turn) % len(self.functions)]
            try:
                reply = self.client.post(f"/fn/{name}", {"x": turn}, timeout=20)
                outcome = str(reply.status)
                if reply.status == 200 and reply.json() != {"result": turn + 1}:
                    outcome = f"wrong answer {reply.body[:80]!r}"
            except (OSError, http.client.HTTPException):
                outcome = "cut"
            with self.lock:
                self.answers[outcome] += 1
