"""Frames over the inherited socket. The server's `faas_proto::frame` is the source of truth."""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_STREAM, socket, timeout
from _struct import Struct
from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .logs import Sink

PROTOCOL_VERSION = 3
CHANNEL_FD = 3
PAYLOAD_MAX = 1 << 20
CHUNK_LEN = 256 << 10
# How long a wait for the server is before it is begun anew.
WAIT_SECONDS = 86_400.0
# Bytes of a reply's body that may be sent before the server says that some were taken.
WINDOW_LEN = 256 << 10

INIT, INVOKE, BODY, CANCEL, PING, SHUTDOWN, WINDOW, PUBLISHED = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08
HELLO, READY, FAILED, HEAD, CHUNK, END, LOG, PONG = 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87
CREDIT, REPLY, PUBLISH, DEBUGGER = 0x88, 0x89, 0x8A, 0x8B

HEADER = Struct("<IBBHI")
# A frame's header and the length of a reply's or publication's head behind it.
REPLY_HEADER = Struct("<IBBHII")
HEADER_LEN = 12

Frame = tuple[int, bool, int, bytes]


class ChannelClosed(Exception):
    """The server is gone; nothing is left to serve."""


class Reader:
    """Cuts frames out of what was received, in one buffer that is used over and over."""

    __slots__ = ("buffer", "view", "start", "end")

    def __init__(self) -> None:
        self.buffer = bytearray(64 << 10)
        self.view = memoryview(self.buffer)
        self.start = 0
        self.end = 0

    def next(self) -> Frame | None:
        """The next complete frame; afterwards `room` says where to receive more."""
        start = self.start
        have = self.end - start
        if have < HEADER_LEN:
            return None
        length, kind, flags, _, stream = HEADER.unpack_from(self.buffer, start)
        after = start + HEADER_LEN + length
        if after > self.end:
            return None
        payload = bytes(self.view[start + HEADER_LEN : after])
        if after == self.end:
            self.start = self.end = 0
        else:
            self.start = after
        return kind, bool(flags & 1), stream, payload

    def room(self) -> memoryview:
        """The free part of the buffer, large enough for the rest of a frame that has begun."""
        start, end = self.start, self.end
        needed = HEADER_LEN
        if end - start >= HEADER_LEN:
            needed += HEADER.unpack_from(self.buffer, start)[0]
            if needed > HEADER_LEN + PAYLOAD_MAX:
                raise ChannelClosed
        if start + needed > len(self.buffer):
            rest = self.buffer[start:end]
            if needed > len(self.buffer):
                self.buffer = bytearray(HEADER_LEN + PAYLOAD_MAX)
                self.view = memoryview(self.buffer)
            self.buffer[: len(rest)] = rest
            self.start, self.end = 0, len(rest)
        return self.view[self.end :]


class Channel:
    """The blocking side of the socket. Writes may come from any thread; reads from the main one."""

    def __init__(self, fd: int = CHANNEL_FD) -> None:
        self.socket = socket(AF_UNIX, SOCK_STREAM, 0, fd)
        # With a time limit it waits in `poll`, which bytes alone end. A plain wait ends for nothing as well, each time
        # that the server has read what was sent before.
        self.socket.settimeout(WAIT_SECONDS)
        # The same socket without a limit, and so without a `poll` before it is written to.
        self.sender = socket(AF_UNIX, SOCK_STREAM, 0, fd)
        self.reader = Reader()
        self.lock = allocate_lock()

    def receive(self) -> Frame:
        """Waits for one frame."""
        reader = self.reader
        frame = reader.next() if reader.end else None
        while frame is None:
            try:
                count = self.socket.recv_into(reader.room() if reader.end else reader.view)
            except timeout:
                continue
            except OSError:
                raise ChannelClosed from None
            if not count:
                raise ChannelClosed
            reader.end += count
            frame = reader.next()
        return frame

    def send(self, frames: bytes) -> None:
        """Sends whole frames, after those of any other thread."""
        with self.lock:
            self.write(frames)

    def send_pending(self, sink: Sink) -> None:
        """Sends what a sink holds, unless somebody is sending: a signal handler may have interrupted them. Taken under
        the lock, so that no line overtakes the end of its run."""
        if self.lock.acquire(False):
            try:
                frames = sink.take()
                if frames:
                    self.write(frames)
            finally:
                self.lock.release()

    def write(self, frames: bytes) -> None:
        """Writes under the lock."""
        try:
            sent = self.sender.send(frames)
        except BlockingIOError:
            sent = 0
        except OSError:
            raise ChannelClosed from None
        if sent < len(frames):
            try:
                self.socket.sendall(memoryview(frames)[sent:])
            except OSError:
                raise ChannelClosed from None

    def close(self) -> None:
        """Closes the descriptor, which both sockets have."""
        self.sender.detach()
        self.socket.close()


def pack(kind: int, stream: int, payload: bytes | memoryview, end: bool = False) -> bytes:
    """One frame as bytes."""
    return HEADER.pack(len(payload), kind, end, 0, stream) + payload


def pack_reply(stream: int, head: bytes, body: bytes) -> bytes:
    """A whole reply with its end as one frame; the body is at most CHUNK_LEN long."""
    size = len(head)
    return REPLY_HEADER.pack(4 + size + len(body), REPLY, 0, 0, stream, size) + head + body


def pack_publication(stream: int, head: bytes, data: bytes) -> bytes:
    """An event or a message as one frame; with its head it is at most PAYLOAD_MAX - 4 long."""
    size = len(head)
    return REPLY_HEADER.pack(4 + size + len(data), PUBLISH, 0, 0, stream, size) + head + data


def pack_credit(stream: int, size: int) -> bytes:
    """Asks for so many more bytes of a request's body."""
    return pack(CREDIT, stream, size.to_bytes(4, "little"))


def pack_chunks(stream: int, body: bytes) -> list[bytes]:
    """A body as frames of bounded length."""
    if len(body) <= CHUNK_LEN:
        return [HEADER.pack(len(body), CHUNK, 0, 0, stream), body] if body else []
    view = memoryview(body)
    frames: list[bytes] = []
    for at in range(0, len(body), CHUNK_LEN):
        part = view[at : at + CHUNK_LEN]
        frames += (HEADER.pack(len(part), CHUNK, 0, 0, stream), part)
    return frames
