"""The pace of one streamed reply: as fast as its caller takes it."""

from __future__ import annotations

import asyncio

from .protocol import CHUNK, CHUNK_LEN, WINDOW_LEN, pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .async_loop import AsyncChannel
    from .logs import Sink


class Flow:
    """Sends the chunks of one reply, never more than the server has said that it takes."""

    __slots__ = ("channel", "sink", "stream", "left", "waiting")

    def __init__(self, channel: AsyncChannel, sink: Sink, stream: int) -> None:
        self.channel = channel
        self.sink = sink
        self.stream = stream
        self.left = WINDOW_LEN
        self.waiting: asyncio.Future[None] | None = None

    def widen(self, size: int) -> None:
        """The caller has taken so many bytes."""
        self.left += size
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)

    async def send(self, body: bytes) -> None:
        """Sends a part of the body; returns when the last of it is on its way."""
        view = memoryview(body)
        while view:
            while not self.left:
                self.sink.flush()
                self.waiting = asyncio.get_running_loop().create_future()
                await self.waiting
            part = view[: min(self.left, CHUNK_LEN)]
            view = view[len(part) :]
            self.left -= len(part)
            self.channel.send(self.sink.take() + pack(CHUNK, self.stream, part))
            await self.channel.drain()
