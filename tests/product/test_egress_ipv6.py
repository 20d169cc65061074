"""Connections of functions over IPv6, where the machine has it."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest
from harness import Server, until, write_function
from harness.network import NameServer, OwnNetwork, WebServer

pytestmark = pytest.mark.needs("root", "tun")

# Addresses of a global network, and one that connections are made from.
OPEN, SHUT, SOURCE = "2a00:fa:1::1", "2a00:fa:1::2", "2a00:fa:1::3"
GET = """
import socket, urllib.request


def send(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.settimeout(30)
        try:
            one.connect((host, port))
            one.send(b"x")
            one.recv(1)
        except OSError as error:
            return error.errno


def handler(url: str = "", datagram_to: str = ""):
    if datagram_to:
        return send(datagram_to, 9)
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.read().decode()
    except OSError:
        return None
"""


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with OwnNetwork("10.213.0.1", OPEN, SHUT, SOURCE), WebServer("::") as web:
        yield web


@pytest.fixture(scope="module")
def names(web: WebServer) -> Iterator[NameServer]:
    table = {"web.test": OPEN, "shut.test": SHUT, "ipv4only.arpa": "2a00:64::c000:aa", "nat64.test": "2a00:64::a00:1"}
    with NameServer(table) as names:
        yield names


@pytest.fixture(scope="module")
def server(web: WebServer, names: NameServer) -> Iterator[Server]:
    env = {
        "FAAS_EGRESS_PRIVATE": OPEN,
        "FAAS_EGRESS_RESOLVERS": names.address,
        "FAAS_EGRESS_SOURCE_ADDRESS": f"10.213.0.1,{SOURCE}",
    }
    with Server(env=env) as server:
        server.deploy(write_function(server.home / "src", "get", GET, network="egress"))
        yield server


def got(server: Server, url: str) -> tuple[str | None, str]:
    reply = server.api.invoke("get", {"url": url}).expect(200)
    return reply.json()["result"], reply.headers["x-run-id"]


def log_of(server: Server, run_id: str) -> str:
    reply = server.http.get(f"/api/v1/runs/{run_id}/logs")
    return "" if reply.status == 404 else "\n".join(line["message"] for line in reply.expect(200).json()["items"])


def test_names_and_addresses_lead_there(server: Server, web: WebServer) -> None:
    for host in ("web.test", f"[{OPEN}]"):
        assert got(server, f"http://{host}:{web.port}/x")[0] == f"you asked {host}:{web.port} for /x"
    assert {peer for peer, _ in web.seen} == {SOURCE}, "from the operator's address"


def test_the_inside_is_shut_over_ipv6(server: Server, web: WebServer) -> None:
    web.seen.clear()
    for host, word in (
        (f"[{SHUT}]", "address of this server"),
        ("[2a00:64::a00:1]", "translated address of IPv4 of this site"),
        ("[64:ff9b::a00:1]", "translated address of IPv4"),
        ("[fd00:ec2::254]", "metadata service"),
        ("shut.test", "the name has no address of the public internet"),
        ("nat64.test", "the name has no address of the public internet"),
    ):
        outcome, run_id = got(server, f"http://{host}:{web.port}/")
        assert outcome is None, host
        until(lambda run=run_id, told=word: told in log_of(server, run), f"{word} in the log of {host}")
    assert web.seen == []


def test_a_refused_datagram_is_told_to_its_program(server: Server) -> None:
    for host in ("10.1.2.3", "fd00::1", SHUT, "64:ff9b::a00:1", "224.0.0.1", "ff0e::1"):
        reply = server.api.invoke("get", {"datagram_to": host}).expect(200)
        refused = (errno.EHOSTUNREACH,) if ":" not in host else (errno.EACCES,)
        assert reply.json()["result"] in refused, f"{host}: {reply.json()}"
