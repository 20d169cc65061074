"""A machine that functions reach: it takes and sends bytes, sends them back, and speaks WebSocket."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import selectors
import socket
import socketserver
import struct
import threading

BLOCK = 1 << 20
_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PING, PONG, TEXT, CLOSE = 9, 10, 1, 8


class Echoes:
    """Sends back what comes over any number of connections: one thread, since a thousand would wait for each other."""

    def __init__(self) -> None:
        self._waiting = selectors.EpollSelector()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def add(self, connection: socket.socket, first: bytes) -> None:
        """With what has come of it already."""
        connection.sendall(first)
        self._waiting.register(connection, selectors.EVENT_READ)

    def end(self) -> None:
        """Closes all of them."""
        self._ended.set()
        self._thread.join(10)
        for key in list(self._waiting.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]

    def _serve(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._waiting.select(0.1):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                piece = b""
                with contextlib.suppress(OSError):
                    piece = connection.recv(1 << 16)
                    connection.sendall(piece)
                if not piece:
                    self._waiting.unregister(connection)
                    connection.close()


class FarEnd:
    """Answers on one address. A connection's first line says what is wanted: `echo`, `take N`, `send N`, a request."""

    def __init__(self, address: str, ping_every: float = 1.0) -> None:
        # How often WebSocket connections were pinged and answered, over all of them.
        self.pongs: list[float] = []
        self.ping_every = ping_every
        far_end = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    far_end._serve(self)

        class Listener(socketserver.ThreadingTCPServer):
            request_queue_size = 1_024
            daemon_threads = True
            block_on_close = False

            def shutdown_request(self, request: object) -> None:
                # One that echoes goes on elsewhere.
                self.close_request(request)  # type: ignore[arg-type]

        self._server = Listener((address, 0), Handler)
        self.address, self.port = address, self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._echoes = Echoes()

    def __enter__(self) -> FarEnd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
        self._echoes.end()

    def _serve(self, of: socketserver.StreamRequestHandler) -> None:
        words = of.rfile.readline().split()
        if words[:1] == [b"echo"]:
            self._echoes.add(of.connection.dup(), of.rfile.peek())
        elif words[:1] == [b"take"]:
            left, room = int(words[1]), memoryview(bytearray(BLOCK))
            while left and (count := of.rfile.readinto(room[: min(left, BLOCK)])):
                left -= count
            of.wfile.write(b"%d left\n" % left)
        elif words[:1] == [b"send"]:
            for start in range(0, int(words[1]), BLOCK):
                of.wfile.write(bytes(min(BLOCK, int(words[1]) - start)))
        elif words[:1] == [b"GET"]:
            self._speak_websocket(of)

    def _speak_websocket(self, of: socketserver.StreamRequestHandler) -> None:
        key = b""
        while line := of.rfile.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"sec-websocket-key":
                key = value.strip()
        accept = base64.b64encode(hashlib.sha1(key + _ACCEPT).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        of.wfile.write(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        done = threading.Event()
        pinging = threading.Thread(target=self._ping, args=(of, done), daemon=True)
        pinging.start()
        try:
            while frame := read_frame(of.rfile):
                kind, payload = frame
                if kind == PONG:
                    self.pongs.append(float(payload))
                else:
                    of.wfile.write(frame_of(kind, payload))
                    if kind == CLOSE:
                        return
        finally:
            done.set()

    def _ping(self, of: socketserver.StreamRequestHandler, done: threading.Event) -> None:
        number = 0
        while not done.wait(self.ping_every):
            number += 1
            with contextlib.suppress(OSError):
                of.wfile.write(frame_of(PING, b"%d" % number))


def frame_of(kind: int, payload: bytes) -> bytes:
    """A frame as servers send it, of less than 126 bytes."""
    return struct.pack("BB", 0x80 | kind, len(payload)) + payload


def read_frame(stream: object) -> tuple[int, bytes] | None:
    """A short frame as clients send it: masked."""
    head = stream.read(2)  # type: ignore[attr-defined]
    if len(head) < 2:
        return None
    mask = stream.read(4)  # type: ignore[attr-defined]
    payload = stream.read(head[1] & 127)  # type: ignore[attr-defined]
    return head[0] & 15, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
