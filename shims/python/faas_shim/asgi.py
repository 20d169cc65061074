"""The ASGI side: https://asgi.readthedocs.io, HTTP scope 2.4 and lifespan 2.0."""

from __future__ import annotations

import asyncio

from .context import unquote
from .function import Function
from .protocol import CHUNK, CHUNK_LEN, HEAD, WINDOW_LEN, ChannelClosed, pack, pack_credit
from .replies import BadReply, check_status, clean_header, encode_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flow import Flow

LIFESPAN_SECONDS = 5


class AsgiCall:
    """One request of an ASGI application."""

    def __init__(self, function: Function, flow: Flow, head: dict, state: dict) -> None:
        self.function = function
        self.flow = flow
        self.scope = _scope(head, state)
        self.parts: list[tuple[bytes, bool]] = []
        self.waiting: asyncio.Future[None] | None = None
        self.body_came = False
        self.asked = False
        self.taken = 0
        self.finished = False
        self.head: bytes | None = None
        self.rest = b""
        self.sent = 0
        self.begun = False
        self.gone = False
        self.returned = False

    def feed(self, payload: bytes, end: bool) -> None:
        """More of the request's body."""
        self.parts.append((payload, end))
        self.body_came = end
        self._wake()

    def disconnect(self) -> None:
        """Nobody waits for the reply any more."""
        self.gone = True
        self._wake()

    def _wake(self) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)

    async def run(self) -> tuple[bytes, bytes] | bytes:
        """Calls the application; what it returns is a whole reply, or the last frames before the end."""
        try:
            await self.function.call(self.scope, self.receive, self.send)  # type: ignore[operator]
        except (asyncio.CancelledError, ChannelClosed):
            raise
        except BaseException as error:
            # An application may answer and raise again for the server's log, as Starlette does; a background task
            # may fail. The response that is complete counts.
            if not self.finished:
                raise
            self.flow.sink.emit_error(error, self.function.code)
        finally:
            self.returned = True
        if self.begun:
            return self._last_frames()
        if self.head is None:
            raise BadReply("the application returned without a response")
        return self.head, self.rest

    async def receive(self) -> dict[str, object]:
        """The application asks for the next event."""
        while True:
            if self.parts:
                payload, end = self.parts.pop(0)
                self._took(len(payload))
                return {"type": "http.request", "body": payload, "more_body": not end}
            if self.gone or self.finished:
                return {"type": "http.disconnect"}
            loop = asyncio.get_running_loop()
            self.waiting = loop.create_future()
            if not self.asked and not self.body_came:
                # A short body comes with the head: it is seen before anything is asked for.
                loop.call_soon(self._ask)
            await self.waiting

    def _ask(self) -> None:
        if not (self.asked or self.body_came or self.gone):
            self.asked = True
            self.flow.channel.send(pack_credit(self.flow.stream, WINDOW_LEN))

    def _took(self, size: int) -> None:
        self.taken += size
        if self.asked and not self.body_came and self.taken >= WINDOW_LEN // 2:
            self.flow.channel.send(pack_credit(self.flow.stream, self.taken))
            self.taken = 0

    async def send(self, event: dict) -> None:
        """The application sends an event."""
        kind = event["type"]
        if kind == "http.response.start":
            if self.begun or self.head is not None:
                raise BadReply("the application sent a second response start")
            headers = [clean_header(name, value) for name, value in event.get("headers") or ()]
            check_status(event["status"])
            self.head = encode_head(event["status"], headers)
        elif kind == "http.response.body":
            await self._send_body(event.get("body") or b"", bool(event.get("more_body")))
        else:
            raise BadReply(f"the event {kind!r} is not served")

    async def _send_body(self, body: bytes, more: bool) -> None:
        if self.finished or (self.head is None and not self.begun):
            raise BadReply("the application sent a body outside a response")
        self.sent += len(body)
        self.function.check_size(self.sent)
        if more or len(body) > min(self.flow.left, CHUNK_LEN):
            self._begin()
            await self.flow.send(bytes(body))
            self.finished = not more
            return
        self.rest = bytes(body)
        self.finished = True
        self._wake()
        # Goes out with the end if the application returns now, and without waiting for its background tasks if not.
        asyncio.get_running_loop().call_soon(self._flush)

    def _begin(self) -> None:
        if not self.begun:
            self.begun = True
            self.flow.channel.send(self.flow.sink.take() + pack(HEAD, self.flow.stream, self.head or b""))

    def _flush(self) -> None:
        if self.gone or self.returned:
            return
        self._begin()
        if self.rest:
            self.flow.channel.send(self.flow.sink.take() + self._last_frames())

    def _last_frames(self) -> bytes:
        frames = pack(CHUNK, self.flow.stream, self.rest) if self.rest else b""
        self.rest = b""
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
    # The server rewrites both: what stands here is what it believes.
    client = fields.get("x-forwarded-for", "").partition(",")[0].strip()
    scheme = fields.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": head["method"],
        "scheme": "https" if scheme == "https" else "http",
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
