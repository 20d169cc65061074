"""Every way to an address inside, tried by a function that may reach one private address: nothing else is reached."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network

import pytest
from harness import Server, until, write_function
from harness.network import NameServer, OwnNetwork
from harness.paths import ROOT

pytestmark = pytest.mark.needs("root", "tun")

# A private address that the operator opens, and one that he does not.
OPEN, SHUT = "10.213.0.1", "10.213.0.2"

PYTHON = """
import socket, urllib.request
from concurrent.futures import ThreadPoolExecutor


def tcp(host, port):
    with socket.create_connection((host, port), timeout=5) as one:
        return one.recv(100).decode()


def udp(host, port):
    address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(address[0], socket.SOCK_DGRAM) as one:
        one.settimeout(5)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        one.connect(address[4])
        one.send(b"hello")
        return one.recv(100).decode()


def get(host, port):
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=5) as reply:
        return reply.read().decode()


def sent(family, kind, protocol, host):
    with socket.socket(family, kind, protocol) as one:
        one.settimeout(2)
        one.sendto(b"\\x08\\x00\\xf7\\xff\\x00\\x00\\x00\\x00", host)
        return one.recv(100).hex() or "sent"


def raw(host, _):
    return sent(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW, (host, 0))


def packet(_host, _):
    return sent(socket.AF_PACKET, socket.SOCK_RAW, 0x0300, ("tun0", 0x0800))


def icmp(host, _):
    return sent(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP, (host, 0))


def ping(host, _):
    return sent(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP, (host, 0))


def outcome(attempt):
    do, host, port = attempt
    try:
        return globals()[do](host, port)
    except Exception:
        return None


def handler(attempts):
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(outcome, attempts))
"""


class Listener:
    """Takes connections and datagrams at every address of the machine, and counts them by where they came."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self._tcp = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self._udp.bind(("::", self.port))
        self._threads = [threading.Thread(target=serve, daemon=True) for serve in (self._streams, self._datagrams)]

    def __enter__(self) -> Listener:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tcp.shutdown(socket.SHUT_RDWR)
        self._tcp.close()
        self._udp.close()

    def _streams(self) -> None:
        while True:
            try:
                stream, _ = self._tcp.accept()
            except OSError:
                return
            self.reached.append("tcp to " + stream.getsockname()[0].removeprefix("::ffff:"))
            stream.sendall(b"reached")
            stream.close()

    def _datagrams(self) -> None:
        while True:
            try:
                _, peer = self._udp.recvfrom(100)
                self.reached.append("udp")
                self._udp.sendto(b"reached", peer)
            except OSError:
                return


class Redirects:
    """An HTTP server at one address that sends its clients elsewhere."""

    def __init__(self, address: str, to: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(302)
                self.send_header("Location", to)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self) -> Redirects:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with OwnNetwork(OPEN, SHUT), Listener() as listener:
        yield listener


@pytest.fixture(scope="module")
def names(listener: Listener) -> Iterator[NameServer]:
    with NameServer({"open.test": OPEN, "shut.test": SHUT, "loop.test": "127.0.0.1"} | NAMES) as names:
        yield names


@pytest.fixture(scope="module")
def server(listener: Listener, names: NameServer) -> Iterator[Server]:
    env = {"FAAS_EGRESS_PRIVATE": OPEN, "FAAS_EGRESS_RESOLVERS": names.address}
    with Server(env=env) as server:
        for name in ("tries", "names"):
            server.deploy(write_function(server.home / "src", name, PYTHON, network="egress", timeout="120s"))
        yield server


def tries(server: Server, *attempts: tuple[str, str, int], function: str = "tries") -> tuple[list[str | None], str]:
    reply = server.api.invoke(function, {"attempts": attempts}).expect(200)
    return reply.json()["result"], reply.headers["x-run-id"]


# Every form of an address inside, as the tests of the broker, of builds and of callbacks have them.
TABLE = ROOT / "crates/outbound/tests/shut_addresses.txt"
SHUT_ADDRESSES = [line.split()[0] for line in TABLE.read_text().splitlines() if not line.startswith("#")]
# These never leave a sandbox: the kernel keeps them inside, or has no way there.
NEVER_SENT = ip_network("127.0.0.0/8"), ip_network("0.0.0.0/8"), ip_network("224.0.0.0/3"), ip_network("192.0.0.0/24")
NAMES = {f"n{number}.test": address for number, address in enumerate(SHUT_ADDRESSES) if ":" not in address}
OTHER_FORMS = [
    f"::ffff:{SHUT}",
    f"::{SHUT}",
    f"64:ff9b::{SHUT}",
    "64:ff9b:1::10.213.0.2",
    "2002:ad5:2::1",
    "fe80::1%lo",
    "0x0a.0xd5.0.2",
    "181731330",
]


def is_sent(address: str) -> bool:
    return ":" not in address and not any(ip_address(address) in network for network in NEVER_SENT)


def test_the_open_address_is_reached(server: Server, listener: Listener) -> None:
    port = listener.port
    outcomes, _ = tries(server, ("tcp", OPEN, port), ("udp", OPEN, port), ("tcp", "open.test", port))
    assert outcomes == ["reached"] * 3
    assert sorted(listener.reached) == [f"tcp to {OPEN}", f"tcp to {OPEN}", "udp"]
    listener.reached.clear()


def test_nothing_forbidden_is_reached_and_each_refusal_names_its_rule(server: Server, listener: Listener) -> None:
    hosts = [SHUT, *SHUT_ADDRESSES, *OTHER_FORMS, *NAMES, "shut.test", "loop.test"]
    every = [(do, host, listener.port) for do in ("tcp", "udp") for host in hosts]
    outcomes, run_id = tries(server, *every)
    assert outcomes == [None] * len(every)
    assert listener.reached == []

    def lines() -> list[str]:
        reply = server.http.get(f"/api/v1/runs/{run_id}/logs")
        return [] if reply.status == 404 else [line["message"] for line in reply.expect(200).json()["items"]]

    # What a log takes at once is less than all of these.
    tried = [address for address in SHUT_ADDRESSES if is_sent(address)][:8]
    wanted = [f"tcp to {host}:{listener.port}: " for host in [SHUT, *tried]]

    def is_told() -> bool:
        told = lines()
        return all(any(word in line for line in told) for word in wanted)

    until(is_told, "a line for each refusal")
    for line in lines():
        if "network denied" in line:
            assert "of the public internet" in line and "egress.private in the server's configuration" in line, line


def test_a_name_that_leads_inside_is_told_as_one_that_is_not_there(server: Server) -> None:
    # By a function whose instance has not been told of anything yet.
    outcomes, run_id = tries(server, ("tcp", "shut.test", 80), ("tcp", "absent.test", 80), function="names")
    assert outcomes == [None, None]

    def told() -> list[str]:
        reply = server.http.get(f"/api/v1/runs/{run_id}/logs")
        lines = [] if reply.status == 404 else [line["message"] for line in reply.expect(200).json()["items"]]
        return [line for line in lines if "look-up of" in line]

    until(lambda: len(told()) == 2, "a line for each name")
    shapes = {line.replace("shut.test", "NAME").replace("absent.test", "NAME") for line in told()}
    assert len(shapes) == 1, shapes


def test_nothing_but_streams_and_datagrams_is_sent(server: Server, listener: Listener) -> None:
    outcomes, _ = tries(server, ("raw", OPEN, 1), ("packet", OPEN, 1), ("icmp", OPEN, 1), ("ping", OPEN, 1))
    assert outcomes == [None] * 4
    assert listener.reached == []


def test_a_redirection_leads_nowhere_inside(server: Server, listener: Listener) -> None:
    with Redirects(OPEN, f"http://{SHUT}:{listener.port}/") as redirects:
        assert tries(server, ("get", OPEN, redirects.port))[0] == [None]
    assert listener.reached == []


def test_a_name_that_leads_elsewhere_a_moment_later_leads_nowhere(
    server: Server, listener: Listener, names: NameServer
) -> None:
    names.names["rebind.test"] = OPEN
    assert tries(server, ("tcp", "rebind.test", listener.port))[0] == ["reached"]
    listener.reached.clear()
    names.names["rebind.test"] = SHUT
    # The name was kept with its first address, or has the new one, which is left out.
    tries(server, ("tcp", "rebind.test", listener.port))
    assert tries(server, ("tcp", SHUT, listener.port))[0] == [None]
    assert all(where == f"tcp to {OPEN}" for where in listener.reached), listener.reached
