"""A network of a test's own: a name space without a way to anywhere, whose addresses are all its own."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

_NEW_NETWORK = 0x40000000
_SET_FLAGS, _SET_ADDRESS, _SET_MASK = 0x8914, 0x8916, 0x891C
_UP = 1
_LOOPBACK = 1
_libc = ctypes.CDLL(None, use_errno=True)


class OwnNetwork:
    """What the calling thread, and whatever it starts, sees as the network until the end of the `with` block."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self._before = -1

    def __enter__(self) -> OwnNetwork:
        self._before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _check(_libc.unshare(_NEW_NETWORK))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            fcntl.ioctl(asking, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))
            for number, address in enumerate(self.addresses):
                if ":" in address:
                    _add6(address)
                else:
                    _add(asking, f"lo:{number}", address)
        return self

    def __exit__(self, *_: object) -> None:
        _check(_libc.setns(self._before, _NEW_NETWORK))
        os.close(self._before)


def _add(asking: socket.socket, label: str, address: str) -> None:
    for request, value in ((_SET_ADDRESS, address), (_SET_MASK, "255.255.255.255")):
        place = struct.pack("=HH4s8x", socket.AF_INET, 0, ip_address(value).packed)
        fcntl.ioctl(asking, request, struct.pack("16s16s8x", label.encode(), place))


def _add6(address: str) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
        fcntl.ioctl(asking, _SET_ADDRESS, struct.pack("=16sIi", ip_address(address).packed, 128, _LOOPBACK))


def _check(outcome: int) -> None:
    if outcome != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def port_of(address: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of this address that nobody listens on at the moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


class WebServer:
    """An HTTP server on one address that counts who comes."""

    def __init__(self, address: str, port: int = 0) -> None:
        seen: list[tuple[str, str]] = []
        self.seen = seen

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append((self.client_address[0], self.path))
                body = f"you asked {self.headers['Host']} for {self.path}".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                seen.append((self.client_address[0], self.path))
                got = 0
                while got < length:
                    got += len(self.rfile.read(min(1 << 16, length - got)))
                body = str(got).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Listening(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

        self._server = Listening((address, port), Handler)
        self.port = self._server.server_address[1]
        host = f"[{address}]" if ":" in address else address
        self.url = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> WebServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class NameServer:
    """Answers queries for addresses from a table with one for each name; every other name does not exist."""

    def __init__(self, names: dict[str, str], address: str = "127.0.0.1") -> None:
        self.names = names
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self._socket.settimeout(0.2)
        self.address = "{}:{}".format(*self._socket.getsockname())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                query, peer = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            self._socket.sendto(self._answer(query), peer)

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, end = ".".join(labels).lower(), at + 5
        kind = int.from_bytes(query[at + 1 : at + 3], "big")
        self.asked.append(name)
        address = self.names.get(name)
        records = b""
        if address is not None and kind == (28 if ":" in address else 1):
            packed = ip_address(address).packed
            records = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(packed)) + packed
        flags = 0x8180 if address is not None else 0x8183
        counts = struct.pack(">HHHH", 1, 1 if records else 0, 0, 0)
        return query[:2] + struct.pack(">H", flags) + counts + query[12:end] + records
