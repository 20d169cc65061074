"""Serves a function that is not async: one call after the other, on the main thread."""

from __future__ import annotations

from _thread import allocate_lock

from .function import Function, end_frame
from .logs import Sink
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
    WINDOW_LEN,
    Channel,
    ChannelClosed,
    pack,
    pack_publication,
    pack_reply,
)
from .replies import Reply, chunk_of, from_value, head_frame


class Cancelled(Exception):
    """The server gave up on a call before its request or its reply was complete."""


class SyncLoop:
    """Reads an invocation, runs it, replies."""

    def __init__(self, channel: Channel, sink: Sink, function: Function) -> None:
        self.channel = channel
        self.sink = sink
        self.function = function
        self.window = 0
        # The call under way, and whether the server has given it up.
        self.stream = 0
        self.cancelled = False
        # Held by the thread that reads while a handler runs.
        self.reading = allocate_lock()
        # A publication without an answer yet, and the answer to the last one.
        self.asked = False
        self.answer = b""

    def run(self) -> None:
        """Serves until the server says shutdown or goes away."""
        receive = self.channel.receive
        while True:
            kind, end, stream, payload = receive()
            if kind == INVOKE:
                try:
                    body = b"" if end else self._body(stream)
                except Cancelled:
                    continue
                self._serve(stream, payload, body)
            elif kind == PING:
                self.channel.send(pack(PONG, 0, payload))
            elif kind == SHUTDOWN:
                from .ending import notify

                return notify()

    def _body(self, stream: int) -> bytes:
        parts: list[bytes] = []
        while True:
            kind, end, of, payload = self.channel.receive()
            if kind == BODY and of == stream:
                if end and not parts:
                    return payload
                parts.append(payload)
                if end:
                    return b"".join(parts)
            elif kind == CANCEL and of == stream:
                raise Cancelled
            elif kind == PING:
                self.channel.send(pack(PONG, 0, payload))
            elif kind == SHUTDOWN:
                raise ChannelClosed

    def _serve(self, stream: int, payload: bytes, body: bytes) -> None:
        sink, function = self.sink, self.function
        log = sink.current = sink.begin(stream)
        reply, head, failure = None, b"", None
        self.stream, self.cancelled, self.asked = stream, False, False
        try:
            value = function.start(payload, body)
            if hasattr(value, "__await__"):
                value = _wait_for(value)
            reply = from_value(value, function.kind)
            if reply.stream is not None or len(reply.body) > CHUNK_LEN:
                self._stream(stream, reply)
                reply = None
            else:
                head = reply.head()
        except ChannelClosed:
            raise
        except BaseException as error:
            failure = error
        # A thread of the handler may wait for an answer yet.
        with self.reading:
            self.stream = 0
        sink.finish(log)
        if failure is not None:
            frames = function.failure(stream, failure, log.dropped)
        elif reply is None or log.dropped:
            frames = end_frame(stream, {"dropped": log.dropped}) if log.dropped else pack(END, stream, b"", end=True)
            if reply is not None:
                frames = pack(HEAD, stream, head) + pack(CHUNK, stream, reply.body) + frames
        else:
            frames = pack_reply(stream, head, reply.body)
        sink.current = sink.instance
        logged = sink.take()
        self.channel.send(logged + frames if logged else frames)

    def _stream(self, stream: int, reply: Reply) -> None:
        self.window = WINDOW_LEN
        if reply.stream is None:
            self.function.check_size(len(reply.body))
            self.channel.send(pack(HEAD, stream, reply.head(len(reply.body))))
            self._send(stream, reply.body)
            return
        size, headers, source = 0, reply.headers, reply.stream
        items = _in_turn(source) if hasattr(source, "__anext__") else source
        begun = False
        try:
            for item in items:  # type: ignore[attr-defined]
                chunk, kind = chunk_of(item)
                if not begun:
                    begun = True
                    self.channel.send(head_frame(stream, reply.status, _typed(headers, kind)))
                size += len(chunk)
                self.function.check_size(size)
                self._send(stream, chunk)
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()
        if not begun:
            self.channel.send(head_frame(stream, reply.status, headers))

    def _send(self, stream: int, body: bytes) -> None:
        """Sends a part of a reply, as fast as the caller takes it. Raises Cancelled."""
        view = memoryview(body)
        while view:
            while not self.window:
                self._wait_for_window()
            part = view[: min(self.window, CHUNK_LEN)]
            view = view[len(part) :]
            self.window -= len(part)
            self.channel.send(b"".join((self.sink.take(), pack(CHUNK, stream, part))))

    def _wait_for_window(self) -> None:
        logged = self.sink.take()
        if logged:
            self.channel.send(logged)
        with self.reading:
            if not self.window:
                self._take()

    def ask(self, head: bytes, data: bytes) -> bytes:
        """Publishes or sends something in the name of the call under way; the payload of the answer."""
        from .publishing import gone, outside

        with self.reading:
            if not self.stream:
                raise outside()
            try:
                # One whose answer nobody waited for, because a signal came between.
                self._wait_for_answer()
                self.asked = True
                self.channel.send(self.sink.take() + pack_publication(self.stream, head, data))
                self._wait_for_answer()
            except Cancelled:
                raise gone() from None
            return self.answer

    def _wait_for_answer(self) -> None:
        if self.cancelled:
            raise Cancelled
        while self.asked:
            self._take()

    async def ask_async(self, head: bytes, data: bytes) -> bytes:
        """As `ask`: nobody else is kept waiting here."""
        return self.ask(head, data)

    def _take(self) -> None:
        """Takes one frame while a handler runs. Raises Cancelled, also when that has been told before."""
        if self.cancelled:
            raise Cancelled
        kind, _, of, payload = self.channel.receive()
        if kind == PING:
            self.channel.send(pack(PONG, 0, payload))
        elif kind == SHUTDOWN:
            raise ChannelClosed
        elif of != self.stream:
            return
        elif kind == WINDOW:
            self.window += int.from_bytes(payload, "little")
        elif kind == PUBLISHED:
            self.asked, self.answer = False, payload
        elif kind == CANCEL:
            self.cancelled = True
            raise Cancelled


def _typed(headers: list[tuple[str, str]], kind: str) -> list[tuple[str, str]]:
    if any(name == "content-type" for name, _ in headers):
        return headers
    return [("content-type", kind), *headers]


def _wait_for(value: object) -> object:
    # A plain function that returns a coroutine, as some decorators make it.
    from asyncio import run

    async def wait() -> object:
        return await value  # type: ignore[misc]

    return run(wait())


def _in_turn(source: object):  # type: ignore[no-untyped-def]
    from asyncio import new_event_loop

    loop = new_event_loop()
    try:
        while True:
            try:
                yield loop.run_until_complete(source.__anext__())  # type: ignore[attr-defined]
            except StopAsyncIteration:
                return
    finally:
        loop.close()
