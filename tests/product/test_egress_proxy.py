"""A proxy of the operator: connections of functions and callbacks go through it, to the addresses that were checked."""

from __future__ import annotations

import base64
import shutil
import socket
import threading
from collections.abc import Iterator

import pytest
from harness import Server, until, write_function
from harness.network import NameServer, OwnNetwork, WebServer

from product.receiver import Receiver

pytestmark = pytest.mark.needs("root", "tun")

INSIDE = "10.213.0.1"
GET = """
import socket, urllib.request


def handler(url: str = "", udp: str = ""):
    if udp:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            try:
                one.connect((udp, 9))
                one.send(b"x")
                one.settimeout(5)
                one.recv(1)
            except OSError as error:
                return type(error).__name__
    with urllib.request.urlopen(url, timeout=10) as reply:
        return reply.read().decode()
"""


class Proxy:
    """Speaks SOCKS 5 or HTTP, wants user and password, and notes the addresses that it was asked for."""

    USER, PASSWORD = "ops", "hunter:2"

    def __init__(self, scheme: str) -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._serve = self._socks if scheme == "socks5" else self._http
        port = self._listener.getsockname()[1]
        self.url = f"{scheme}://{self.USER}:hunter%3A2@127.0.0.1:{port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _socks(self, near: socket.socket) -> None:
        file = near.makefile("rb")
        file.read(file.read(2)[1])
        near.sendall(b"\x05\x02")
        assert file.read(1) == b"\x01"
        user, password = (file.read(file.read(1)[0]).decode() for _ in range(2))
        is_known = (user, password) == (self.USER, self.PASSWORD)
        near.sendall(bytes([1, 0 if is_known else 1]))
        head = file.read(4)
        assert head == b"\x05\x01\x00\x01", head
        host, port = socket.inet_ntoa(file.read(4)), int.from_bytes(file.read(2), "big")
        self._carry(near, host, port, b"\x05\x00\x00\x01" + bytes(6))

    def _http(self, near: socket.socket) -> None:
        file = near.makefile("rb", buffering=0)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += file.read(1) or b"\r\n\r\n"
        wanted = base64.b64encode(f"{self.USER}:{self.PASSWORD}".encode())
        assert b"Proxy-Authorization: Basic " + wanted in head, head
        host, port = head.split()[1].decode().rsplit(":", 1)
        self._carry(near, host, int(port), b"HTTP/1.1 200 OK\r\n\r\n")

    def _carry(self, near: socket.socket, host: str, port: int, word: bytes) -> None:
        self.asked.append(f"{host}:{port}")
        far = socket.create_connection((host, port), timeout=10)
        near.sendall(word)
        back = threading.Thread(target=_copy, args=(far, near), daemon=True)
        back.start()
        _copy(near, far)
        back.join(10)
        near.close()
        far.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        with source.makefile("rb", buffering=0) as reading, target.makefile("wb", buffering=0) as writing:
            shutil.copyfileobj(reading, writing)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture(params=["socks5", "http"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with OwnNetwork(INSIDE), Proxy(request.param) as proxy:
        yield proxy


def test_functions_and_callbacks_go_through_the_proxy(proxy: Proxy) -> None:
    with WebServer(INSIDE) as web, NameServer({"web.test": INSIDE}) as names, Receiver() as receiver:
        env = {
            "FAAS_EGRESS_PROXY": proxy.url,
            "FAAS_EGRESS_PRIVATE": INSIDE,
            "FAAS_EGRESS_RESOLVERS": names.address,
            "FAAS_CALLBACKS_ALLOW": "127.0.0.0/8",
        }
        with Server(env=env) as server:
            server.deploy(write_function(server.home / "src", "get", GET, network="egress"))
            reply = server.api.invoke("get", {"url": f"http://web.test:{web.port}/x"}).expect(200)
            assert reply.json()["result"] == f"you asked web.test:{web.port} for /x"
            assert proxy.asked == [f"{INSIDE}:{web.port}"], "the address that was checked"
            assert server.api.invoke("get", {"udp": INSIDE}).expect(200).json()["result"] == "OSError"
            accepted = server.http.post(
                "/async/get", {"url": f"{web.url}/y"}, headers={"X-Callback-Url": receiver.url()}
            ).expect(202)
            until(lambda: receiver.deliveries, f"the callback of {accepted.json()['run_id']}")
            assert f"127.0.0.1:{receiver.port}" in proxy.asked
            log = server.log()
        assert "hunter" not in log and proxy.url not in log
