"""Frames over descriptor 3, and the connections to the outside that they carry."""

from __future__ import annotations

import asyncio
import json
import socket
from struct import Struct

JOB, CONNECTED, REFUSED, DATA, CLOSE, WINDOW = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
OPEN, SEND, CLOSED, TAKEN, LOG, FILE, CONTENT, DONE, FAILED = 0x81, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8B

HEADER = Struct("<IB3xI")
PAYLOAD_MAX = 1 << 20
CHUNK_LEN = 32 << 10
# Bytes that either side of a connection may send before it is told that some were taken.
WINDOW_LEN = 256 << 10


class Refused(Exception):
    """The server does not connect there; the text says why."""


class Tunnel:
    """One connection to the outside, by way of the server."""

    def __init__(self, link: Link, stream: int) -> None:
        self.link, self.stream = link, stream
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self.credit = WINDOW_LEN
        self.more = asyncio.Event()

    async def send(self, data: bytes) -> None:
        """Sends as fast as the server takes it."""
        for at in range(0, len(data), CHUNK_LEN):
            part = data[at : at + CHUNK_LEN]
            while self.credit < len(part):
                self.more.clear()
                await self.more.wait()
            self.credit -= len(part)
            await self.link.send(SEND, self.stream, part)

    async def receive(self) -> bytes:
        """The next bytes from outside; none at the end."""
        return await self.inbox.get()

    async def taken(self, size: int) -> None:
        """Lets the server send so much more."""
        await self.link.send(TAKEN, self.stream, size.to_bytes(4, "little"))

    async def close(self) -> None:
        """Tells the server that nobody needs it any more."""
        if self.link.tunnels.pop(self.stream, None) is not None:
            await self.link.send(CLOSED, self.stream, b"")


class Link:
    """The socket to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.tunnels: dict[int, Tunnel] = {}
        self.last = 0
        self.sending = asyncio.Lock()

    @classmethod
    async def over(cls, channel: socket.socket) -> Link:
        """Speaks on a connected socket."""
        return cls(*await asyncio.open_unix_connection(sock=channel))

    async def receive(self) -> tuple[int, int, bytes]:
        """One frame: kind, stream, payload."""
        length, kind, stream = HEADER.unpack(await self.reader.readexactly(HEADER.size))
        if length > PAYLOAD_MAX:
            raise ValueError("a frame is too long")
        return kind, stream, await self.reader.readexactly(length)

    async def send(self, kind: int, stream: int, payload: bytes) -> None:
        """Sends one frame, after those that are being sent."""
        async with self.sending:
            self.writer.write(HEADER.pack(len(payload), kind, stream) + payload)
            await self.writer.drain()

    async def close(self) -> None:
        """Ends after everything has been sent."""
        self.writer.close()
        await self.writer.wait_closed()

    async def open(self, host: str, port: int) -> Tunnel:
        """Connects to the outside."""
        self.last += 1
        tunnel = self.tunnels[self.last] = Tunnel(self, self.last)
        await self.send(OPEN, tunnel.stream, json.dumps({"host": host, "port": port}).encode())
        await tunnel.opened
        return tunnel

    async def serve(self) -> None:
        """Hands frames to their connections until the server is gone."""
        while True:
            try:
                kind, stream, payload = await self.receive()
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            tunnel = self.tunnels.get(stream)
            if tunnel is None:
                continue
            if kind == CONNECTED and not tunnel.opened.done():
                tunnel.opened.set_result(None)
            elif kind == REFUSED and not tunnel.opened.done():
                del self.tunnels[stream]
                tunnel.opened.set_exception(Refused(payload.decode("utf-8", "replace")))
            elif kind == DATA:
                tunnel.inbox.put_nowait(payload)
            elif kind == CLOSE:
                del self.tunnels[stream]
                tunnel.inbox.put_nowait(b"")
            elif kind == WINDOW:
                tunnel.credit += int.from_bytes(payload, "little")
                tunnel.more.set()
