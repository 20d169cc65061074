"""The soak's callers: threads that mix every sort of call, and keep account of what each was answered."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from harness import Client, Server

from durability.soak_functions import ENDS, churn, has_node

LARGE = b"x" * (1 << 20)
HUGE = b"y" * (8 << 20)
# Refusals of a function whose instances are all taken: no failure, as long as they say so.
OVERLOAD = (429, 503)


@dataclass
class Account:
    """What was asked and what came back. Shared by all callers."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    # Run ids of answers, with the state that the run must have ended in.
    answered: dict[str, str] = field(default_factory=dict)
    left: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def calls(self) -> int:
        """How many calls were made, those that were left included."""
        return self.outcomes.total()

    def add(self, kind: str, status: int, run: str | None, error: str | None) -> None:
        """An answer; `error` says what was wrong with it."""
        with self.lock:
            self.outcomes[f"{kind} {status}"] += 1
            if run:
                self.answered[run] = "succeeded" if status == 200 else "failed"
            if error and len(self.wrong) < 100:
                self.wrong.append(f"{kind}: {error}")

    def leave(self, kind: str) -> None:
        """A call that nobody waited for: it may have become a run or not."""
        with self.lock:
            self.outcomes[f"{kind} left"] += 1
            self.left += 1


class Caller(threading.Thread):
    """One connection at a time, kept open as long as the server keeps it."""

    def __init__(self, server: Server, account: Account, seed: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.client, self.account, self.stop = server.http, account, stop
        self.random = random.Random(seed)
        self.connection = self.client.connect(60)
        self.headers = {"Authorization": f"Bearer {self.client.key}"}
        self.before = "nothing"
        self.failure: BaseException | None = None

    def run(self) -> None:
        kinds, weights = zip(*self._mix(), strict=True)
        try:
            while not self.stop.is_set():
                self.random.choices(kinds, weights)[0]()
        except BaseException as failure:
            self.failure = failure
        finally:
            self.connection.close()

    def _mix(self) -> list[tuple[Callable[[], None], float]]:
        bad = {"raise": 20, "crash": 4, "exit": 4, "grow": 2, "sleep": 1.5, "daemon": 1.5}
        mix = [
            (self._add, 600.0),
            (lambda: self._echo(self.random.randbytes(self.random.randrange(1, 2000))), 100),
            (lambda: self._echo(LARGE), 12),
            (lambda: self._echo(HUGE), 1),
            (self._asgi, 120),
            (self._stream, 20),
            (self._unknown, 10),
            (self._stranger, 10),
            (self._leave_upload, 3),
            (self._leave_handler, 3),
            (self._leave_download, 3),
        ]
        mix += [((lambda how=how: self._bad(how)), weight) for how, weight in bad.items()]
        return [*mix, (self._node, 100)] if has_node() else mix

    # === calls that are waited for ===

    def _add(self) -> None:
        x = self.random.randrange(1000)
        self._call("add", "/fn/add/", {"x": x}, lambda body: json.loads(body) == {"result": x + 1})

    def _node(self) -> None:
        x = self.random.randrange(1000)
        self._call("node", "/fn/node/", {"x": x}, lambda body: json.loads(body) == {"result": x + 1})

    def _echo(self, sent: bytes) -> None:
        kind = "echo" if len(sent) < 10_000 else f"echo {len(sent) >> 20} MB"
        self._call(kind, "/fn/echo/", sent, lambda body: body == sent)

    def _asgi(self) -> None:
        size = self.random.randrange(1, 3000)
        self._call("asgi", "/fn/asgi/", b"a" * size, lambda body: body == b"%d;" % size)

    def _stream(self) -> None:
        parts = self.random.randrange(2, 40)
        self._call("stream", f"/fn/asgi/?{parts}", b"", lambda body: len(body) == parts * 16384)

    def _bad(self, how: str) -> None:
        status, code = ENDS[how]
        name = "hungry" if how == "grow" else "bad"
        self._call(how, f"/fn/{name}/", {"how": how}, lambda body: json.loads(body)["code"] == code, status)

    def _unknown(self) -> None:
        self._call("unknown", "/fn/nobody/", {}, lambda body: json.loads(body)["code"] == "FN_001", 404)

    def _stranger(self) -> None:
        headers = {"Authorization": "Bearer nobody"}
        self._call("stranger", "/fn/add/", {"x": 1}, lambda body: b"code" in body, 401, headers)

    def _call(
        self,
        kind: str,
        path: str,
        sent: object,
        good: Callable[[bytes], bool],
        wanted: int = 200,
        headers: dict[str, str] | None = None,
    ) -> None:
        body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        plain = "application/octet-stream" if isinstance(sent, bytes) else "application/json"
        try:
            self.connection.request("POST", path, body, (headers or self.headers) | {"Content-Type": plain})
            answer = self.connection.getresponse()
            got, run = answer.read(), answer.getheader("X-Run-Id")
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            self.account.add(kind, 0, None, f"no answer after {self.before}: {error!r}")
            return
        self.before = f"{kind} {answer.status}"
        refused = answer.status in OVERLOAD and answer.getheader("Retry-After") is not None
        right = refused or (answer.status == wanted and good(got))
        self.account.add(kind, answer.status, run, None if right else f"{answer.status} {got[:200]!r}")

    # === calls that are left ===

    def _leave_upload(self) -> None:
        """Announces a body and goes away in the middle of it."""
        with self._dial() as opened:
            opened.sendall(self._head("/fn/echo/", 1 << 20) + b"z" * self.random.randrange(1 << 19))
        self.account.leave("upload")

    def _leave_handler(self) -> None:
        """Goes away while the handler is at work."""
        body = b'{"seconds": 0.2}'
        with self._dial() as opened:
            opened.sendall(self._head("/fn/sleepy/", len(body)) + body)
            self.stop.wait(0.05)
        self.account.leave("handler")

    def _leave_download(self) -> None:
        """Takes a little of a long answer and goes away."""
        with self._dial() as opened:
            opened.sendall(self._head("/fn/asgi/?200", 0))
            opened.recv(1000)
        self.account.leave("download")

    def _dial(self) -> socket.socket:
        return socket.create_connection((self.client.host, self.client.port), timeout=60)

    def _head(self, path: str, length: int) -> bytes:
        lines = [f"POST {path} HTTP/1.1", "Host: soak", f"Authorization: Bearer {self.client.key}"]
        return "\r\n".join([*lines, "Content-Type: application/json", f"Content-Length: {length}\r\n\r\n"]).encode()


class Churn(threading.Thread):
    """Deploys, calls and deletes new functions, and calls one so rarely that it has always idled out."""

    def __init__(self, server: Server, account: Account, stop: threading.Event, pause: float) -> None:
        super().__init__(daemon=True)
        self.server, self.account, self.stop, self.pause = server, account, stop, pause
        self.made = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.stop.wait(self.pause):
                self._turn(self.server.api.http)
        except BaseException as failure:
            self.failure = failure

    def _turn(self, client: Client) -> None:
        number = self.made
        self.server.deploy(churn(self.server.home / "src", number))
        self.made += 1
        for name, sent, wanted in ((f"churn-{number}", {}, number), ("rare", {"x": 1}, 2)):
            reply = client.post(f"/fn/{name}/", sent)
            right = reply.status == 200 and reply.json() == {"result": wanted}
            error = None if right else f"{reply.status} {reply.body[:200]!r}"
            self.account.add("cold", reply.status, reply.headers.get("x-run-id"), error)
        self.server.cli("fn", "delete", f"churn-{number}", "--yes").ok()
