"""Servers in a test's own process: one for each protocol that has no program at hand."""

from __future__ import annotations

import asyncio
import contextlib
import email.message
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, StreamRequestHandler, ThreadingTCPServer, ThreadingUDPServer
from typing import Any

import bson
import grpc
from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aiosmtpd.controller import Controller
from dnslib import QTYPE, RR, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSServer
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websockets

from .network import port_of


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Datagrams(ThreadingUDPServer):
    max_packet_size = 1 << 16
    daemon_threads = True


@contextmanager
def _served(server: Any) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def resetting(address: str) -> Iterator[int]:
    """Takes connections, and resets them at the first byte; where the client waits for a greeting, without one."""

    class Reset(BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(1)
            with contextlib.suppress(OSError):
                self.request.recv(1)
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()

    with _served(_Server((address, 0), Reset)) as port:
        yield port


@contextmanager
def echo(address: str) -> Iterator[int]:
    """Sends back what comes, over TCP; the first bytes are a greeting that numbers the connection."""
    numbers = iter(range(1, 1 << 30))

    class Echo(BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"%8d" % next(numbers))
            while data := self.request.recv(1 << 16):
                self.request.sendall(data)

    with _served(_Server((address, 0), Echo)) as port:
        yield port


@contextmanager
def datagram_echo(address: str) -> Iterator[int]:
    """Sends datagrams back."""

    class Echo(BaseRequestHandler):
        def handle(self) -> None:
            data, answer = self.request
            answer.sendto(data, self.client_address)

    with _served(_Datagrams((address, 0), Echo)) as port:
        yield port


class Names(BaseResolver):
    """A name server with a zone of records. Over UDP an answer is cut off where a datagram does not hold it."""

    def __init__(self, zone: str) -> None:
        self.records = RR.fromZone(zone)
        self.asked: list[tuple[str, str, str]] = []

    def resolve(self, request: DNSRecord, handler: Any) -> DNSRecord:
        reply = request.reply()
        name, kind = request.q.qname, QTYPE[request.q.qtype]
        self.asked.append((str(name).lower(), kind, handler.protocol))
        of_name = self._of(name)
        if not of_name:
            reply.header.rcode = 3
        while alias := next((record for record in of_name if QTYPE[record.rtype] == "CNAME"), None):
            reply.add_answer(alias)
            of_name = self._of(alias.rdata.label)
        reply.add_answer(*[record for record in of_name if QTYPE[record.rtype] == kind])
        return reply

    def _of(self, name: Any) -> list[RR]:
        return [record for record in self.records if record.rname == name]

    @contextmanager
    def served(self, address: str) -> Iterator[str]:
        """Over UDP and TCP at one port."""
        port = port_of(address)
        doors = [DNSServer(self, address, port, tcp=tcp, logger=_Quiet(), handler=_Handler) for tcp in (False, True)]
        for door in doors:
            door.start_thread()
        try:
            yield f"{address}:{port}"
        finally:
            for door in doors:
                door.stop()
                door.server.server_close()


class _Handler(DNSHandler):
    def get_reply(self, data: bytes) -> bytes:
        reply: bytes = super().get_reply(data)
        if self.protocol == "tcp" or len(reply) <= 1232:
            return reply
        cut = DNSRecord.parse(reply)
        cut.rr, cut.header.tc = [], 1
        return bytes(cut.pack())


class _Quiet:
    """A logger of dnslib's that says nothing."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_: None


class Mongo:
    """Speaks MongoDB's wire protocol as far as `hello`, `insert`, `find` and `ping` go; it is not MongoDB."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        # The connection that each command came by.
        self.commands: list[tuple[str, int]] = []

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """What one command gets."""
        name = next(iter(command))
        if name in ("hello", "ismaster", "isMaster"):
            limits = {"maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000}
            return {"isWritablePrimary": True, "helloOk": True, "minWireVersion": 0, "maxWireVersion": 21, **limits}
        if name == "insert":
            self.documents += command["documents"]
            return {"n": len(command["documents"])}
        if name == "find":
            wanted = command["filter"].items()
            found = [one for one in self.documents if all(one.get(key) == value for key, value in wanted)]
            return {"cursor": {"id": 0, "ns": f"{command['$db']}.{command['find']}", "firstBatch": found}}
        return {} if name in ("ping", "endSessions") else {"ok": 0.0, "code": 59, "errmsg": f"no such command: {name}"}

    @contextmanager
    def served(self, address: str) -> Iterator[int]:
        """At a port."""
        mongo = self

        class Door(StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    while head := self.rfile.read(16):
                        length, number, _, code = struct.unpack("<iiii", head)
                        mongo.handle(code, number, self.rfile.read(length - 16), self)

        with _served(_Server((address, 0), Door)) as port:
            yield port

    def handle(self, code: int, number: int, body: bytes, door: StreamRequestHandler) -> None:
        """One message: OP_MSG, or OP_QUERY for the first greeting."""
        if code == 2004:
            command = bson.decode(body[body.index(0, 4) + 9 :])
            reply = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode({"ok": 1.0, **self.answer(command)})
            code = 1
        else:
            command = _sections(body)
            self.commands.append((next(iter(command)), door.client_address[1]))
            reply = bytes(5) + bson.encode({"ok": 1.0, **self.answer(command)})
        door.wfile.write(struct.pack("<iiii", 16 + len(reply), 1, number, code) + reply)


def _sections(body: bytes) -> dict[str, Any]:
    """The command of an OP_MSG with its sequences of documents."""
    command: dict[str, Any] = {}
    sequences: dict[str, list[Any]] = {}
    at = 4
    while at < len(body):
        kind, size = body[at], int.from_bytes(body[at + 1 : at + 5], "little")
        part = body[at + 1 : at + 1 + size]
        if kind == 0:
            command = bson.decode(part)
        else:
            end = part.index(0, 4)
            sequences[part[4:end].decode()] = bson.decode_all(part[end + 1 :])
        at += 1 + size
    return command | sequences


class Mail:
    """Takes mail over SMTP."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        message = email.message_from_bytes(envelope.content)
        self.taken.append((str(message["Subject"]), len(envelope.content)))
        return "250 taken"

    @contextmanager
    def served(self, address: str) -> Iterator[int]:
        """At a port."""
        port = port_of(address)
        controller = Controller(self, hostname=address, port=port, data_size_limit=64 << 20)
        controller.start()
        try:
            yield port
        finally:
            controller.stop()


@contextmanager
def grpc_echo(address: str, certificate: Path) -> Iterator[int]:
    """`/echo.Echo/Say` sends the request back with the peer's address before it, by TLS."""

    def say(request: bytes, context: grpc.ServicerContext) -> bytes:
        return context.peer().encode() + b"\n" + request

    with ThreadPoolExecutor(4) as pool:
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        server = grpc.server(pool, options=options)
        handlers = {"Say": grpc.unary_unary_rpc_method_handler(say)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", handlers),))
        pem = certificate.read_bytes()
        port = server.add_secure_port(f"{address}:0", grpc.ssl_server_credentials([(pem, pem)]))
        server.start()
        try:
            yield port
        finally:
            server.stop(1).wait(10)


@contextmanager
def websocket_echo(address: str) -> Iterator[int]:
    """Sends messages back; `who` is answered with the peer's port."""

    def talk(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(str(connection.remote_address[1]) if message == "who" else message)

    with serve_websockets(talk, address, 0, max_size=64 << 20) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join(10)


class _Http3(QuicConnectionProtocol):
    """Answers each request with the number of bytes that it brought."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.http: H3Connection | None = None
        self.got: dict[int, int] = {}

    def quic_event_received(self, event: Any) -> None:
        self.http = self.http or H3Connection(self._quic)
        for got in self.http.handle_event(event):
            if isinstance(got, DataReceived):
                self.got[got.stream_id] = self.got.get(got.stream_id, 0) + len(got.data)
            if isinstance(got, (DataReceived, HeadersReceived)) and got.stream_ended:
                self.http.send_headers(got.stream_id, [(b":status", b"200")])
                self.http.send_data(got.stream_id, b"%d bytes" % self.got.get(got.stream_id, 0), end_stream=True)
                self.transmit()


@contextmanager
def http3(address: str, certificate: Path) -> Iterator[int]:
    """HTTP/3 at a UDP port."""
    port = port_of(address, socket.SOCK_DGRAM)
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    configuration.load_cert_chain(certificate, certificate)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    starting = serve(address, port, configuration=configuration, create_protocol=_Http3)
    server = asyncio.run_coroutine_threadsafe(starting, loop).result(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
