"""The ASGI side: https://asgi.readthedocs.io, HTTP scope 2.4 and lifespan 2.0."""

from __future__ import annotations

import asyncio

from .context import unquote
from .function import Function
from .protocol import pack_chunks
from .replies import BadReply, clean_header, head_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .async_loop import AsyncChannel
    from .logs import Sink

LIFESPAN_SECONDS = 5


class AsgiCall:
    """One request of an ASGI application."""

    def __init__(
        self, function: Function, channel: AsyncChannel, sink: Sink, stream: int, head: dict, state: dict
    ) -> None:
        self.function = function
        self.channel = channel
        self.sink = sink
        self.stream = stream
        self.scope = _scope(head, state)
        self.parts: list[tuple[bytes, bool]] = []
        self.waiting: asyncio.Future[None] | None = None
        self.body_taken = False
        self.finished = False
        self.head: bytes | None = None
        self.rest = b""
        self.sent = 0
        self.begun = False
        self.gone = False

    def feed(self, payload: bytes, end: bool) -> None:
        """More of the request's body."""
        self.parts.append((payload, end))
        self._wake()

    def disconnect(self) -> None:
        """Nobody waits for the reply any more."""
        self.gone = True
        self._wake()

    def _wake(self) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)

    async def run(self) -> bytes:
        """Calls the application; what it returns are the last frames before the end."""
        await self.function.call(self.scope, self.receive, self.send)  # type: ignore[operator]
        if not self.begun and self.head is None:
            raise BadReply("the application returned without a response")
        return self.take()

    async def receive(self) -> dict[str, object]:
        """The application asks for the next event."""
        while True:
            if self.parts:
                payload, end = self.parts.pop(0)
                self.body_taken = self.body_taken or end
                return {"type": "http.request", "body": payload, "more_body": not end}
            if self.gone or self.finished:
                return {"type": "http.disconnect"}
            self.waiting = asyncio.get_running_loop().create_future()
            await self.waiting

    async def send(self, event: dict) -> None:
        """The application sends an event."""
        kind = event["type"]
        if kind == "http.response.start":
            if self.begun or self.head is not None:
                raise BadReply("the application sent a second response start")
            headers = [clean_header(name, value) for name, value in event.get("headers") or ()]
            self.head = head_frame(self.stream, event["status"], headers)
        elif kind == "http.response.body":
            await self._send_body(event.get("body") or b"", bool(event.get("more_body")))
        else:
            raise BadReply(f"the event {kind!r} is not served")

    async def _send_body(self, body: bytes, more: bool) -> None:
        if self.finished or (self.head is None and not self.begun):
            raise BadReply("the application sent a body outside a response")
        self.sent += len(body)
        self.function.check_size(self.sent)
        frames = b"".join(pack_chunks(self.stream, bytes(body)))
        self.rest += frames
        if more:
            self._flush()
            await self.channel.drain()
            return
        self.finished = True
        self._wake()
        # Goes out with the end if the application returns now, and without waiting for its background tasks if not.
        asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if self.head is None and not self.rest:
            return
        self.begun = True
        self.channel.send(self.sink.take() + self.take())

    def take(self) -> bytes:
        """The frames that have not been sent yet."""
        frames = (self.head or b"") + self.rest
        self.head, self.rest = None, b""
        return frames


class Lifespan:
    """Startup and shutdown of an application; one that does not know lifespan is served without."""

    def __init__(self, app: object) -> None:
        self.app = app
        self.state: dict[str, object] = {}
        self.inbox: asyncio.Queue[dict[str, str]] = asyncio.Queue(2)
        self.outbox: asyncio.Queue[dict[str, str]] = asyncio.Queue(2)
        self.task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Raises when the application says that it cannot start."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self.task = asyncio.ensure_future(self.app(scope, self.inbox.get, self.outbox.put))  # type: ignore[operator]
        await self.inbox.put({"type": "lifespan.startup"})
        answer = asyncio.ensure_future(self.outbox.get())
        await asyncio.wait({self.task, answer}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            if answer.result()["type"] == "lifespan.startup.failed":
                await asyncio.wait({self.task}, timeout=1)
                error = self.task.exception() if self.task.done() else None
                raise error or RuntimeError(answer.result().get("message") or "the application's startup failed")
            return
        answer.cancel()
        self.task.exception()
        self.task = None

    async def shutdown(self) -> None:
        """Gives the application a few seconds to close what it opened."""
        if self.task is None or self.task.done():
            return
        await self.inbox.put({"type": "lifespan.shutdown"})
        await asyncio.wait({self.task}, timeout=LIFESPAN_SECONDS)


def _scope(head: dict, state: dict) -> dict[str, object]:
    fields = dict(reversed(head["headers"]))
    # Where the application is mounted, as the gateway says; ASGI's path includes it.
    root_path = fields.get("x-forwarded-prefix", "").rstrip("/")
    path = root_path + head["path"]
    name, _, port = fields.get("host", "localhost").partition(":")
    client = fields.get("x-forwarded-for", "").partition(",")[0].strip()
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": head["method"],
        "scheme": fields.get("x-forwarded-proto", "http"),
        "path": unquote(path, plus=False),
        "raw_path": path.encode("latin-1", "replace"),
        "query_string": head["query"].encode("latin-1", "replace"),
        "root_path": root_path,
        "headers": [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in head["headers"]],
        "server": (name, int(port) if port.isdigit() else 80),
        "client": (client, 0) if client else None,
        "state": dict(state),
        "extensions": {},
        "faas.run_id": head["run"],
        "faas.deadline_ms": head["deadline"],
    }
