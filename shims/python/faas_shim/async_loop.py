"""Serves async functions and ASGI applications: many calls at once on one event loop."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from contextvars import ContextVar
from threading import get_ident

from . import carrying, jsons
from .asgi import AsgiCall, Lifespan
from .contracts import ASGI
from .flow import Flow
from .function import Function, end_frame
from .logs import RunLog, Sink
from .protocol import (
    BODY,
    CANCEL,
    CHUNK,
    CHUNK_LEN,
    END,
    HEAD,
    INVOKE,
    PING,
    PONG,
    PUBLISHED,
    SHUTDOWN,
    WINDOW,
    Channel,
    ChannelClosed,
    Frame,
    pack,
    pack_publication,
    pack_reply,
)
from .replies import Reply, chunk_of, from_value, head_frame
from .sync_loop import _typed

BACKLOG_MAX = 512 << 10
_RUN: ContextVar[RunLog] = ContextVar("faas_run")


class AsyncChannel(Channel):
    """The socket without blocking: what does not fit waits in a backlog, and whoever streams waits for it to shrink."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        self.socket = channel.socket
        self.socket.setblocking(False)
        self.reader = channel.reader
        self.lock = channel.lock
        self.loop = loop
        self.thread = get_ident()
        self.backlog: list[memoryview] = []
        self.size = 0
        self.drained: asyncio.Event | None = None

    def write(self, frames: bytes) -> None:
        view = memoryview(frames)
        if not self.backlog:
            try:
                sent = self.socket.send(view)
            except BlockingIOError:
                sent = 0
            except OSError:
                raise ChannelClosed from None
            if sent == len(view):
                return
            view = view[sent:]
            self._call(self._watch)
        self.backlog.append(view)
        self.size += len(view)

    def _call(self, callback) -> None:  # type: ignore[no-untyped-def]
        if get_ident() == self.thread:
            callback()
        else:
            self.loop.call_soon_threadsafe(callback)

    def _watch(self) -> None:
        self.loop.add_writer(self.socket.fileno(), self._flush)

    def _flush(self) -> None:
        with self.lock:
            while self.backlog:
                try:
                    sent = self.socket.send(self.backlog[0])
                except BlockingIOError:
                    return
                except OSError:
                    self.backlog.clear()
                    break
                self.size -= sent
                rest = self.backlog[0][sent:]
                if rest:
                    self.backlog[0] = rest
                else:
                    del self.backlog[0]
        self.loop.remove_writer(self.socket.fileno())
        if self.drained is not None:
            self.drained.set()
            self.drained = None

    async def drain(self) -> None:
        """Waits until the backlog is short enough for more."""
        while self.size > BACKLOG_MAX:
            if self.drained is None:
                self.drained = asyncio.Event()
            await self.drained.wait()


class AsyncLoop:
    """Dispatches frames to one task per call."""

    def __init__(self, channel: Channel, sink: Sink, function: Function) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.channel = AsyncChannel(channel, self.loop)
        self.sink = sink
        self.function = function
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.bodies: dict[int, tuple[bytes, list[bytes]]] = {}
        self.apps: dict[int, AsgiCall] = {}
        self.flows: dict[int, Flow] = {}
        # Publications of each call, of which the first is on its way.
        self.asked: dict[int, deque[tuple[bytes, asyncio.Future[bytes]]]] = {}
        # Calls that were cancelled and still run, and pings that wait for them to end.
        self.leaving: set[int] = set()
        self.pings: list[bytes] = []
        self.stopped = self.loop.create_future()
        self.lifespan: Lifespan | None = None
        self.eager = sys.version_info >= (3, 12)
        # The logs of the calls under way.
        self.logs: set[RunLog] = set()
        sink.channel = self.channel
        sink.run_log = self._run_log  # type: ignore[method-assign]
        carrying.install(_RUN)

    def start(self) -> None:
        """What must happen before the first call: an application's lifespan startup."""
        if self.function.kind == ASGI:
            self.lifespan = Lifespan(self.function.call)
            self.loop.run_until_complete(self.lifespan.startup())

    def run(self) -> None:
        """Serves until the server says shutdown or goes away."""
        self.loop.add_reader(self.channel.socket.fileno(), self._readable)
        # Frames may have come along with init.
        self.loop.call_soon(self._dispatch_all)
        self.loop.run_until_complete(self.stopped)
        self.loop.remove_reader(self.channel.socket.fileno())
        from .ending import close

        self.loop.run_until_complete(close(self.loop, self.lifespan))

    def _stop(self) -> None:
        if not self.stopped.done():
            self.stopped.set_result(None)

    def _run_log(self) -> RunLog:
        log = _RUN.get(None)
        if log is None and len(self.logs) == 1:
            # A thread that knows of no call, such as one of an extension's: nobody else can have asked for its work.
            log = next(iter(self.logs), None)
        return log or self.sink.instance

    def _readable(self) -> None:
        reader = self.channel.reader
        try:
            count = self.channel.socket.recv_into(reader.room())
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, ChannelClosed):
            count = 0
        if not count:
            self._stop()
            return
        reader.end += count
        self._dispatch_all()

    def _dispatch_all(self) -> None:
        reader = self.channel.reader
        try:
            while (frame := reader.next()) is not None:
                self._dispatch(frame)
        except ChannelClosed:
            self._stop()

    def _dispatch(self, frame: Frame) -> None:
        kind, end, stream, payload = frame
        if kind == INVOKE:
            if self.function.kind == ASGI:
                self._start_app(stream, payload, end)
            elif end:
                self._spawn(stream, self._serve(stream, payload, b""))
            else:
                self.bodies[stream] = (payload, [])
        elif kind == BODY:
            self._body(stream, payload, end)
        elif kind == WINDOW:
            if stream in self.flows:
                self.flows[stream].widen(int.from_bytes(payload, "little"))
        elif kind == PUBLISHED:
            self._answered(stream, payload)
        elif kind == CANCEL:
            self._cancel(stream)
        elif kind == PING:
            self.pings.append(payload)
            self._answer_pings()
        elif kind == SHUTDOWN:
            self._stop()

    def _body(self, stream: int, payload: bytes, end: bool) -> None:
        app = self.apps.get(stream)
        if app is not None:
            app.feed(payload, end)
        elif stream in self.bodies:
            head, parts = self.bodies[stream]
            parts.append(payload)
            if end:
                del self.bodies[stream]
                self._spawn(stream, self._serve(stream, head, b"".join(parts)))

    def _cancel(self, stream: int) -> None:
        self.bodies.pop(stream, None)
        self._refuse(stream)
        if stream in self.apps:
            self.apps[stream].disconnect()
        if stream in self.tasks:
            self.leaving.add(stream)
            self.tasks[stream].cancel()

    def ask(self, head: bytes, data: bytes) -> bytes:
        """Publishes or sends something for the call that this thread works for; the payload of the answer."""
        from .publishing import PublishError

        if get_ident() == self.channel.thread:
            message = "an async function cannot wait for this: use `await faas.publish_async(...)` or `faas.send_async`"
            raise PublishError(message)
        asking = self._ask(_RUN.get(None), head, data)
        return asyncio.run_coroutine_threadsafe(asking, self.loop).result()

    async def ask_async(self, head: bytes, data: bytes) -> bytes:
        """As `ask`, on the event loop or on one of another thread."""
        asking = self._ask(_RUN.get(None), head, data)
        if get_ident() == self.channel.thread:
            return await asking
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asking, self.loop))

    async def _ask(self, log: RunLog | None, head: bytes, data: bytes) -> bytes:
        from .publishing import outside

        # Here, on the event loop's own thread, a call that has ended shows by its log.
        stream = log.stream if log is not None else 0
        if not stream or stream in self.leaving:
            raise outside()
        waiting = self.asked.setdefault(stream, deque())
        answer: asyncio.Future[bytes] = self.loop.create_future()
        waiting.append((pack_publication(stream, head, data), answer))
        if len(waiting) == 1:
            self.channel.send(self.sink.take() + waiting[0][0])
        return await answer

    def _answered(self, stream: int, payload: bytes) -> None:
        waiting = self.asked.get(stream)
        if not waiting:
            return
        _, answer = waiting.popleft()
        # Whoever asked may have stopped waiting.
        if not answer.done():
            answer.set_result(payload)
        while waiting and waiting[0][1].done():
            waiting.popleft()
        if waiting:
            self.channel.send(self.sink.take() + waiting[0][0])
        else:
            del self.asked[stream]

    def _refuse(self, stream: int) -> None:
        """Nobody answers what this call asked for."""
        for _, answer in self.asked.pop(stream, ()):
            if not answer.done():
                from .publishing import gone

                answer.set_exception(gone())

    def _answer_pings(self) -> None:
        while self.pings and not self.leaving:
            self.channel.send(pack(PONG, 0, self.pings.pop()))

    def _spawn(self, stream: int, work) -> None:  # type: ignore[no-untyped-def]
        task = asyncio.Task(work, loop=self.loop, eager_start=True) if self.eager else self.loop.create_task(work)
        if not task.done():
            self.tasks[stream] = task
            task.add_done_callback(lambda _: self._forget(stream))

    def _forget(self, stream: int) -> None:
        self.tasks.pop(stream, None)
        self.leaving.discard(stream)
        self._answer_pings()

    def _start_app(self, stream: int, payload: bytes, end: bool) -> None:
        state = self.lifespan.state if self.lifespan is not None else {}
        head = jsons.decode(payload)
        flow = self.flows[stream] = Flow(self.channel, self.sink, stream)
        app = self.apps[stream] = AsgiCall(self.function, flow, head, state)  # type: ignore[arg-type]
        if end:
            app.feed(b"", True)
        self._spawn(stream, self._guard(stream, app.run()))

    async def _serve(self, stream: int, payload: bytes, body: bytes) -> None:
        await self._guard(stream, self._call(stream, payload, body))

    async def _guard(self, stream: int, work) -> None:  # type: ignore[no-untyped-def]
        """Runs the work of one call under its log and ends its stream whatever happens."""
        log = self.sink.begin(stream)
        _RUN.set(log)
        self.logs.add(log)
        reply: tuple[bytes, bytes] | bytes = b""
        failure = None
        try:
            reply = await work
        except ChannelClosed:
            self._stop()
            return
        except BaseException as error:
            failure = error
        self.logs.discard(log)
        self.flows.pop(stream, None)
        self.apps.pop(stream, None)
        if self.asked:
            self._refuse(stream)
        self.sink.finish(log)
        try:
            self.channel.send(self.sink.take() + self._last_frames(stream, reply, failure, log.dropped))
        except ChannelClosed:
            self._stop()

    def _last_frames(
        self, stream: int, reply: tuple[bytes, bytes] | bytes, failure: BaseException | None, dropped: int
    ) -> bytes:
        if failure is not None:
            return self.function.failure(stream, failure, dropped)
        end = end_frame(stream, {"dropped": dropped}) if dropped else b""
        if isinstance(reply, bytes):
            return reply + (end or pack(END, stream, b"", end=True))
        head, body = reply
        return pack(HEAD, stream, head) + pack(CHUNK, stream, body) + end if end else pack_reply(stream, head, body)

    async def _call(self, stream: int, payload: bytes, body: bytes) -> tuple[bytes, bytes] | bytes:
        function = self.function
        value = function.start(payload, body)
        if hasattr(value, "__await__"):
            value = await value  # type: ignore[misc]
        reply = from_value(value, function.kind)
        if reply.stream is not None:
            await self._stream(stream, reply)
            return b""
        function.check_size(len(reply.body))
        if len(reply.body) <= CHUNK_LEN:
            return reply.head(), reply.body
        flow = self.flows[stream] = Flow(self.channel, self.sink, stream)
        self.channel.send(pack(HEAD, stream, reply.head(len(reply.body))))
        await flow.send(reply.body)
        return b""

    async def _stream(self, stream: int, reply: Reply) -> None:
        source, size, begun = reply.stream, 0, False
        items = source if hasattr(source, "__anext__") else _lifted(source)
        flow = self.flows[stream] = Flow(self.channel, self.sink, stream)
        try:
            async for item in items:  # type: ignore[attr-defined]
                chunk, kind = chunk_of(item)
                if not begun:
                    begun = True
                    self.channel.send(head_frame(stream, reply.status, _typed(reply.headers, kind)))
                size += len(chunk)
                self.function.check_size(size)
                await flow.send(chunk)
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()
        if not begun:
            self.channel.send(head_frame(stream, reply.status, reply.headers))


async def _lifted(source: object):  # type: ignore[no-untyped-def]
    for item in source:  # type: ignore[attr-defined]
        yield item
        # Lets the other calls in between two items.
        await asyncio.sleep(0)
