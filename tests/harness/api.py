"""The control plane's words, as thin as they can be."""

from __future__ import annotations

from typing import Any

from .http import Client, Reply
from .wait import until

V1 = "/api/v1"


class Api:
    """Calls by meaning instead of by path."""

    def __init__(self, http: Client) -> None:
        self.http = http

    def invoke(self, name: str, body: Any = None, **kwargs: Any) -> Reply:
        """The invoke door."""
        return self.http.post(f"{V1}/functions/{name}/invoke", {} if body is None else body, **kwargs)

    def call(self, name: str, body: Any = None, path: str = "/", **kwargs: Any) -> Reply:
        """The function's URL, by POST."""
        return self.http.post(f"/fn/{name}{path}", {} if body is None else body, **kwargs)

    def function(self, name: str) -> dict[str, Any]:
        """What there is to know of a function."""
        return self.http.get(f"{V1}/functions/{name}").expect(200).json()

    def run(self, run_id: str) -> Reply:
        """A run's record."""
        return self.http.get(f"{V1}/runs/{run_id}")

    def finished(self, run_id: str) -> dict[str, Any]:
        """A run's record once it has ended; records are written a moment after the answer."""

        def ended() -> dict[str, Any] | None:
            reply = self.run(run_id)
            return reply.json() if reply.status == 200 and reply.json()["finished_at"] else None

        return until(ended, f"{run_id} is recorded")

    def log_lines(self, run_id: str, least: int) -> list[dict[str, Any]]:
        """A run's log lines once there are at least so many."""

        def lines() -> list[dict[str, Any]] | None:
            found = self.http.get(f"{V1}/runs/{run_id}/logs").expect(200).json()["items"]
            return found if len(found) >= least else None

        return until(lines, f"{run_id} has {least} log lines")

    def runs(self, query: str = "") -> list[dict[str, Any]]:
        """A page of runs."""
        return self.http.get(f"{V1}/runs{query}").expect(200).json()["items"]

    def send_messages(self, topic: str, messages: list[dict[str, Any]], **kwargs: Any) -> Reply:
        """Sends a batch of messages."""
        batch = {"Content-Type": "application/vnd.faas.messages+json"}
        return self.http.post(f"{V1}/topics/{topic}/messages", {"messages": messages}, headers=batch, **kwargs)

    def create_key(self, name: str, scopes: list[str]) -> dict[str, Any]:
        """A fresh key with these scopes."""
        reply = self.http.post(f"{V1}/keys", {"name": name, "scopes": scopes})
        assert reply.status in (200, 201), reply.body
        return reply.json()

    def revoke_key(self, key_id: str) -> None:
        """Makes a key worthless."""
        reply = self.http.request("DELETE", f"{V1}/keys/{key_id}")
        assert reply.status in (200, 204), reply.body

    def openapi(self) -> dict[str, Any]:
        """The document that describes all of this."""
        return self.http.get("/openapi.json").expect(200).json()
