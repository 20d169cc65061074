"""Callers that never stop asking, with a bound, and count what they got."""

from __future__ import annotations

import http.client
import threading
from collections import Counter

from harness import Client


class Load:
    """Some threads calling some functions until told to stop. Refused and cut connections are counted, not raised."""

    def __init__(self, client: Client, functions: list[str], threads: int = 6, most: int = 20_000) -> None:
        self.client, self.functions, self.most = client, functions, most
        self.answers: Counter[str] = Counter()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call, args=(number,), daemon=True) for number in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def good(self) -> int:
        """Calls that were answered with 200 so far."""
        return self.answers["200"]

    def _call(self, number: int) -> None:
        for turn in range(self.most):
            if self._stop.is_set():
                return
            name = self.functions[(number + turn) % len(self.functions)]
            try:
                reply = self.client.post(f"/fn/{name}", {"x": turn}, timeout=20)
                outcome = str(reply.status)
                if reply.status == 200 and reply.json() != {"result": turn + 1}:
                    outcome = f"wrong answer {reply.body[:80]!r}"
            except (OSError, http.client.HTTPException):
                outcome = "cut"
            with self._lock:
                self.answers[outcome] += 1
