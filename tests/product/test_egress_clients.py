"""What functions connect with in practice, against real servers: drivers and HTTP clients, and how they fail."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from harness import Server, write_function
from harness import peers as peer
from harness.index import NpmRegistry, PythonIndex, installer
from harness.network import OwnNetwork, WebServer
from harness.paths import EXAMPLES, ROOT, TARGET
from harness.programs import Nginx, Postgres, Redis
from harness.wait import until

pytestmark = pytest.mark.needs("root", "tun", "servers", "clients")

INSIDE, OUTSIDE = "10.214.0.1", "198.18.8.9"
LARGE, PAGE = 8 << 20, 32 << 20
SMALL = "you asked peer.test for /small"
HERE = ROOT / "tests/clients"
# Long enough for three datagrams.
TEXTS = [f'"{number:03} {"x" * 200}"' for number in range(20)]
ZONE = f"""
peer.test. 60 IN A {INSIDE}
chain.test. 60 IN CNAME link.test.
link.test. 60 IN CNAME peer.test.
elsewhere.test. 60 IN A {OUTSIDE}
inside.test. 60 IN A {OUTSIDE}
inside.test. 60 IN TXT "a secret"
_ldap._tcp.inside.test. 60 IN SRV 0 0 389 inside.test.
large.test. 60 IN A {INSIDE}
api.github.com. 60 IN A {INSIDE}
db.example.com. 60 IN A {INSIDE}
""" + "".join(f"large.test. 60 IN TXT {text}\n" for text in TEXTS)


class Peers:
    """Every server that the clients are tried against, and where it is."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path) -> None:
        authority = trustme.CA()
        self.authority = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.authority)
        certificate = folder / "server.pem"
        authority.issue_cert("peer.test", "api.github.com", INSIDE).private_key_and_cert_chain_pem.write_to_path(
            certificate
        )
        enter = stack.enter_context
        self.web = enter(WebServer(INSIDE))
        enter(Nginx(INSIDE, 443, certificate, self.web.url))
        self.mongo, self.mail = peer.Mongo(), peer.Mail()
        mongo = enter(self.mongo.served(INSIDE))
        srv = f"_mongodb._tcp.db.shop.test. 60 IN SRV 0 0 {mongo} mongo.shop.test.\nmongo.shop.test. 60 IN A {INSIDE}\n"
        self.names = peer.Names(ZONE + srv + 'db.shop.test. 60 IN TXT "authSource=admin"\n')
        self.resolver = enter(self.names.served("127.0.0.1"))
        self.reset = enter(peer.resetting(INSIDE))
        self.at: dict[str, Any] = {
            "host": "peer.test",
            "https": "https://peer.test",
            "postgres": enter(Postgres(INSIDE, 5432, certificate)).port,
            "redis": enter(Redis(INSIDE)).port,
            "mongo": "mongodb+srv://db.shop.test/?tls=false",
            "smtp": enter(self.mail.served(INSIDE)),
            "grpc": enter(peer.grpc_echo(INSIDE, certificate)),
            "websocket": enter(peer.websocket_echo(INSIDE)),
            "echo": enter(peer.echo(INSIDE)),
            "udp": enter(peer.datagram_echo(INSIDE)),
            "http3": enter(peer.http3(INSIDE, certificate)),
        }


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(OwnNetwork(INSIDE, OUTSIDE))
        yield Peers(stack, tmp_path_factory.mktemp("peers"))


@pytest.fixture(scope="module")
def house(peers: Peers) -> Iterator[Server]:
    """A server with the Python function `py`, which trusts the servers' authority by its variables."""
    with PythonIndex() as index:
        for path in (TARGET / "tools/clients/python").iterdir():
            index.add((path.name, path.read_bytes()))
        env = {"FAAS_EGRESS_PRIVATE": f"{INSIDE}/32", "FAAS_EGRESS_RESOLVERS": peers.resolver}
        with NpmRegistry() as registry:
            for path in (TARGET / "tools/clients/node").glob("*.tgz"):
                registry.add_archive(path.read_bytes())
            indexes = {"FAAS_BUILD_INDEXES_PYPI": index.url, "FAAS_BUILD_INDEXES_NPM": registry.url}
            with Server(env=env | indexes | installer("uv")) as server:
                deploy_python(server, peers)
                yield server


# The interpreter that `scripts/setup` fetched packages for.
PYTHON_RUNTIME = "python{}.{}".format(*sys.version_info)

SETTINGS: dict[str, Any] = {
    "network": "egress",
    "egress.allow": ["*.test", "udp://peer.test", f"udp://{INSIDE}"],
    "memory": "512MB",
    "timeout": "120s",
    "scaling": {"max": 1},
}


def deploy_python(server: Server, peers: Peers) -> None:
    files = {path.name: path.read_text() for path in (HERE / "main.py", HERE / "requirements.txt", peers.authority)}
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "PGSSLROOTCERT")
    more = {"runtime": PYTHON_RUNTIME, **SETTINGS, **trusting(*names)}
    server.deploy(write_function(server.home / "src", "py", files, **more))


def trusting(*names: str) -> dict[str, str]:
    """Settings by which clients trust the servers' authority."""
    return {f"vars.{name}": "/function/ca.pem" for name in names}


@pytest.fixture(scope="module")
def node(house: Server, peers: Peers) -> Server:
    """The same server with the Node function `js`."""
    own = (HERE / "index.mjs", HERE / "package.json", HERE / "package-lock.json")
    files = {path.name: path.read_text() for path in (*own, peers.authority)}
    house.deploy(
        write_function(house.home / "src", "js", files, runtime="node", **SETTINGS, **trusting("NODE_EXTRA_CA_CERTS"))
    )
    return house


def outcome(server: Server, name: str, client: str, do: str, at: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """What a client says of an attempt, and the run that made it."""
    reply = server.api.invoke(name, {"client": client, "do": do, "at": at}, timeout=150).expect(200)
    body = reply.json()
    return body.get("result", body), reply.headers["x-run-id"]


def ok(server: Server, name: str, client: str, do: str, at: dict[str, Any]) -> Any:
    """What it was for."""
    answer, _ = outcome(server, name, client, do, at)
    assert "ok" in answer, answer
    return answer["ok"]


# A client, what a small exchange gives, and what a large one.
PYTHON: dict[str, tuple[Any, Any]] = {
    "requests": (SMALL, [LARGE, PAGE]),
    "urllib3": (SMALL, [LARGE, PAGE]),
    "httpx": (SMALL, [LARGE, PAGE]),
    "aiohttp": (SMALL, [LARGE, PAGE]),
    "asyncio": (1, LARGE),
    "psycopg": ([42, True], [LARGE, LARGE]),
    "redis": ("b", LARGE),
    "pymongo": (7, LARGE),
    "smtplib": ({}, {}),
    "grpcio": ("hello", LARGE),
    "websockets": ("hello", LARGE),
    "udp": ("hello", [1200, 1472, 9000]),
    "aioquic": ("5 bytes", f"{LARGE} bytes"),
}
NODE: dict[str, tuple[Any, Any]] = {
    "fetch": (SMALL, [LARGE, PAGE]),
    "undici": (SMALL, [LARGE, PAGE]),
    "pg": ([42, True], [LARGE, LARGE]),
    "ioredis": ("m", LARGE),
    "ws": ("hello", LARGE),
    "net": (1, LARGE),
}
# What fails at once for a client whose server may not be reached, and for one whose server resets the connection.
PYTHON_ERRORS = {
    "requests": ("ConnectionError", "ConnectionError"),
    "urllib3": ("NewConnectionError", "ProtocolError"),
    "httpx": ("ConnectError", "TransportError"),
    "aiohttp": ("ClientConnectorError", "ClientError"),
    "asyncio": ("OSError", "ConnectionResetError"),
    "psycopg": ("OperationalError", "OperationalError"),
    "redis": ("ConnectionError", "ConnectionError"),
    "pymongo": ("ServerSelectionTimeoutError", "PyMongoError"),
    "smtplib": ("OSError", "OSError"),
    "grpcio": ("RpcError", "RpcError"),
    "websockets": ("OSError", "Exception"),
}
NODE_ERRORS = {
    "fetch": ("EHOSTUNREACH", "ECONNRESET"),
    "undici": ("EHOSTUNREACH", "ECONNRESET"),
    "pg": ("EHOSTUNREACH", "ECONNRESET"),
    "ioredis": ("EHOSTUNREACH", "ECONNRESET"),
    "ws": ("EHOSTUNREACH", "ECONNRESET"),
    "net": ("EHOSTUNREACH", "ECONNRESET"),
}


def exchanges(server: Server, peers: Peers, name: str, client: str, expected: tuple[Any, Any]) -> None:
    small, large = expected
    assert ok(server, name, client, "small", peers.at) == small
    assert ok(server, name, client, "large", peers.at) == large


@pytest.mark.parametrize("client", PYTHON)
def test_python_exchanges_little_and_much(house: Server, peers: Peers, client: str) -> None:
    exchanges(house, peers, "py", client, PYTHON[client])
    if client == "smtplib":
        assert [(subject, size > LARGE // 2) for subject, size in peers.mail.taken] == [
            ("small", False),
            ("large", True),
        ]


@pytest.mark.needs("node", "npm")
@pytest.mark.parametrize("client", NODE)
def test_node_exchanges_little_and_much(node: Server, peers: Peers, client: str) -> None:
    exchanges(node, peers, "js", client, NODE[client])


POOLED = ("requests", "urllib3", "httpx", "aiohttp", "asyncio", "psycopg", "redis", "grpcio", "websockets")


@pytest.mark.parametrize("client", POOLED)
def test_python_keeps_its_connections_over_calls(house: Server, peers: Peers, client: str) -> None:
    seen = [ok(house, "py", client, "kept", peers.at) for _ in range(3)]
    assert seen[0] and seen == seen[:1] * 3, "the server sees one connection"


def test_a_pool_of_mongodb_keeps_its_connection(house: Server, peers: Peers) -> None:
    before = len(peers.mongo.commands)
    for _ in range(3):
        ok(house, "py", "pymongo", "kept", peers.at)
    came_by = [connection for command, connection in peers.mongo.commands[before:] if command == "find"]
    assert len(came_by) == 3 and len(set(came_by)) == 1, peers.mongo.commands[before:]


@pytest.mark.needs("node", "npm")
@pytest.mark.parametrize("client", ["undici", "pg", "ioredis", "ws"])
def test_node_keeps_its_connections_over_calls(node: Server, peers: Peers, client: str) -> None:
    seen = [ok(node, "js", client, "kept", peers.at) for _ in range(3)]
    assert seen[0] and seen == seen[:1] * 3, "the server sees one connection"


def denials(server: Server, run_id: str, word: str) -> str:
    """The lines of a run's log about refused attempts, once one of them has this word."""

    def lines() -> str | None:
        reply = server.http.get(f"/api/v1/runs/{run_id}/logs")
        found = [line["message"] for line in reply.json()["items"]] if reply.status == 200 else []
        told = "\n".join(line for line in found if "network denied" in line)
        return told if word in told else None

    return until(lines, f"a line about {word} in the log of {run_id}")


def failing(server: Server, name: str, client: str, host: str, port: int, kind: str) -> tuple[dict[str, Any], str]:
    """An attempt that fails with this kind of error, and long before a time-out."""
    scheme = "https" if kind != "plain" else "http"
    answer, run_id = outcome(
        server, name, client, "to", {"host": host, "port": port, "url": f"{scheme}://{host}:{port}/"}
    )
    assert kind in answer.get("error", []), answer
    assert answer.get("seconds", 0) < 15, answer
    return answer, run_id


# The same refusal is logged once in a while, so each client has a port to itself.
@pytest.mark.parametrize("client", PYTHON_ERRORS)
def test_python_is_told_of_a_refused_host(house: Server, peers: Peers, client: str) -> None:
    port = 4000 + list(PYTHON_ERRORS).index(client)
    _, run_id = failing(house, "py", client, OUTSIDE, port, PYTHON_ERRORS[client][0])
    assert "egress.private" in denials(house, run_id, f"{OUTSIDE}:{port}")


@pytest.mark.needs("node", "npm")
@pytest.mark.parametrize("client", NODE_ERRORS)
def test_node_is_told_of_a_refused_host(node: Server, peers: Peers, client: str) -> None:
    port = 4000 + list(NODE_ERRORS).index(client)
    _, run_id = failing(node, "js", client, OUTSIDE, port, NODE_ERRORS[client][0])
    assert "egress.private" in denials(node, run_id, f"{OUTSIDE}:{port}")


@pytest.mark.parametrize("client", PYTHON_ERRORS)
def test_python_is_told_of_a_reset(house: Server, peers: Peers, client: str) -> None:
    failing(house, "py", client, "peer.test", peers.reset, PYTHON_ERRORS[client][1])


@pytest.mark.needs("node", "npm")
@pytest.mark.parametrize("client", NODE_ERRORS)
def test_node_is_told_of_a_reset(node: Server, peers: Peers, client: str) -> None:
    failing(node, "js", client, "peer.test", peers.reset, NODE_ERRORS[client][1])


def test_a_name_that_leads_to_a_refused_address_is_named_in_the_log(house: Server, peers: Peers) -> None:
    _, run_id = failing(house, "py", "psycopg", "elsewhere.test", 5432, "OperationalError")
    assert "egress.private" in denials(house, run_id, "elsewhere.test")


def test_a_name_that_no_rule_allows_is_named_in_the_log(house: Server, peers: Peers) -> None:
    answer, run_id = failing(house, "py", "requests", "api.example", 443, "ConnectionError")
    assert "resolve" in answer["text"] or "Name" in answer["text"], answer
    assert "allow" in denials(house, run_id, "api.example")


def test_names_are_answered_as_drivers_need_them(house: Server, peers: Peers) -> None:
    wanted: dict[str, Callable[[Any], bool]] = {
        "db.shop.test TXT": lambda found: found == ['"authSource=admin"'],
        "_mongodb._tcp.db.shop.test SRV": lambda found: len(found) == 1 and found[0].endswith(" mongo.shop.test."),
        "_ldap._tcp.inside.test SRV": lambda found: found == "NXDOMAIN",
        "inside.test TXT": lambda found: found == "NXDOMAIN",
        "large.test TXT": lambda found: found == TEXTS,
        "chain.test A": lambda found: found == [INSIDE],
        "peer.test AAAA": lambda found: found == "NoAnswer",
        "absent.test A": lambda found: found == "NXDOMAIN",
    }
    answer = ok(house, "py", "dns", "records", peers.at | {"names": [name.split() for name in wanted]})
    assert {name: told for name, told in answer.items() if not wanted[name](told)} == {}, peers.names.asked
    protocols = {protocol for name, kind, protocol in peers.names.asked if (name, kind) == ("large.test.", "TXT")}
    assert protocols == {"udp", "tcp"}, "what a datagram does not hold is asked for again"
    # Nothing is looked up under a search domain, and a missing family costs no waiting.
    seconds = ok(house, "py", "dns", "seconds", peers.at | {"names": ["chain.test", "peer.test", "absent.test"]})
    assert seconds < 2
    assert {name for name, _, _ in peers.names.asked if name.endswith("test.test.")} == set()


def test_the_roots_of_the_machine_are_trusted_without_a_setting(house: Server, peers: Peers) -> None:
    code = "import ssl\n\ndef handler():\n    return len(ssl.create_default_context().get_ca_certs())\n"
    house.deploy(write_function(house.home / "src", "roots", code, network="egress"))
    assert house.api.invoke("roots").expect(200).json()["result"] > 50


def example(server: Server, peers: Peers, name: str, *trust: str) -> None:
    """Deploys an example as it is, with the interpreter that packages are here for and the servers' authority."""
    folder = shutil.copytree(EXAMPLES / name, server.home / "examples" / name)
    shutil.copy(peers.authority, folder / "ca.pem")
    manifest = (folder / "faas.toml").read_text().replace('"python"', f'"{PYTHON_RUNTIME}"')
    more = "".join(f"{key.removeprefix('vars.')} = {json.dumps(value)}\n" for key, value in trusting(*trust).items())
    (folder / "faas.toml").write_text(manifest + more)
    server.deploy(folder)


def test_the_example_of_an_http_client(house: Server, peers: Peers) -> None:
    example(house, peers, "http-client", "SSL_CERT_FILE")
    answer = house.api.invoke("http-client", {"repository": "a/b"}).expect(200).json()
    assert answer == {"result": {"repository": "a/b", "stars": 7}}


def test_the_example_of_postgres_counts(house: Server, peers: Peers) -> None:
    house.cli("secrets", "set", "DB_PASSWORD", stdin="open-sesame").ok()
    example(house, peers, "postgres")
    counts = [house.api.invoke("postgres", {"name": "Ada"}).expect(200).json()["result"]["visits"] for _ in range(3)]
    assert counts == [1, 2, 3]
