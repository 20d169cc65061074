"""A plain HTTP/1.1 client: what a stranger's program sends, nothing added."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Reply:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def expect(self, status: int) -> Reply:
        """Itself, if it has this status."""
        assert self.status == status, f"wanted {status}, got {self.status}: {self.body[:2000]!r}"
        return self


class Client:
    """One host and one key. Each request has a connection of its own, unless `session` is used."""

    def __init__(self, port: int, key: str | None = None, host: str = "127.0.0.1", timeout: float = 60.0) -> None:
        self.host, self.port, self.key, self.timeout = host, port, key, timeout

    def connect(self, timeout: float | None = None) -> http.client.HTTPConnection:
        """A connection of its own, for streams and half-sent requests."""
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout or self.timeout)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        *,
        json_body: Any = None,
        headers: dict[str, str] | None = None,
        key: str | None = "",
        timeout: float | None = None,
    ) -> Reply:
        """Sends one request. `key` replaces the client's own; `None` sends none."""
        sent = dict(headers or {})
        if json_body is not None:
            body = json.dumps(json_body)
            sent.setdefault("Content-Type", "application/json")
        chosen = self.key if key == "" else key
        if chosen is not None and "Authorization" not in sent and "X-API-Key" not in sent:
            sent["Authorization"] = f"Bearer {chosen}"
        connection = self.connect(timeout)
        try:
            raw = body.encode() if isinstance(body, str) else body
            connection.request(method, path, raw, sent)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **kwargs: Any) -> Reply:
        """GET."""
        return self.request("GET", path, **kwargs)

    def post(self, path: str, json_body: Any = None, **kwargs: Any) -> Reply:
        """POST with a JSON body."""
        return self.request("POST", path, json_body=json_body, **kwargs)
