"""Functions that reach other machines, on a network of the tests' own: as far as their rules and the operator's go."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness import Server, until, write_function
from harness.network import NameServer, OwnNetwork, WebServer
from harness.ways import WAYS

pytestmark = pytest.mark.needs("root", "tun")

# A private network that the operator opens, and an address of the public internet's, as far as rules know.
INSIDE, OUTSIDE = "10.213.0.1", "198.18.7.9"
PUBLIC = "93.184.215.14"

PYTHON = """
import socket, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer


def outcome(work):
    began = time.monotonic()
    try:
        return {"ok": work(), "seconds": time.monotonic() - began}
    except OSError as error:
        reason = getattr(error, "reason", error)
        number = getattr(reason, "errno", None)
        return {"error": type(reason).__name__, "errno": number, "seconds": time.monotonic() - began}


def get(url):
    with urllib.request.urlopen(url, timeout=20) as reply:
        return reply.read().decode()


def connect(host, port):
    with socket.create_connection((host, port), timeout=20) as one:
        return one.getsockname()[0]


def datagram(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(10)
        one.connect((host, port))
        one.send(b"hello")
        return one.recv(100).decode()


def upload(url, megabytes):
    return int(urllib.request.urlopen(url, data=bytes(megabytes << 20), timeout=60).read())


class Here(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"inside")

    def log_message(self, *_):
        pass


def own_server(_=None):
    server = HTTPServer(("0.0.0.0", 0), Here)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    return [get(f"http://{host}:{port}/") for host in ("localhost", "127.0.0.1", "192.0.0.2")]


def interfaces(_=None):
    with open("/proc/net/dev") as table:
        return sorted(line.split(":")[0].strip() for line in table if ":" in line)


def look_up(name):
    return sorted({entry[4][0] for entry in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)})


def handler(do, args=()):
    return outcome(lambda: globals()[do](*args))
"""
NODE = """
export async function handler({ url }) {
  try {
    const reply = await fetch(url);
    return { ok: await reply.text() };
  } catch (error) {
    return { error: error.cause?.code ?? String(error) };
  }
}
"""


@pytest.fixture(scope="module")
def network() -> Iterator[OwnNetwork]:
    with OwnNetwork(INSIDE, OUTSIDE, PUBLIC) as network:
        yield network


@pytest.fixture(scope="module")
def web(network: OwnNetwork) -> Iterator[WebServer]:
    with WebServer(INSIDE) as web:
        yield web


@pytest.fixture(scope="module")
def names(network: OwnNetwork) -> Iterator[NameServer]:
    with NameServer({"api.test": INSIDE, "elsewhere.test": OUTSIDE, "loop.test": "127.0.0.1"}) as names:
        yield names


@pytest.fixture(scope="module", params=sorted(WAYS))
def connected(request: pytest.FixtureRequest, web: WebServer, names: NameServer) -> Iterator[Server]:
    """A server that opens one private network; for each way of starting instances."""
    env = {"FAAS_EGRESS_PRIVATE": f"{INSIDE}/32", "FAAS_EGRESS_RESOLVERS": names.address}
    with Server(env=WAYS[request.param] | env) as server:
        server.deploy(write_function(server.home / "src", "reach", PYTHON, network="egress", timeout="60s"))
        rules: dict[str, Any] = {"network": "egress", "egress.allow": [f"api.test:{web.port}"]}
        server.deploy(write_function(server.home / "src", "only-api", PYTHON, **rules))
        server.deploy(write_function(server.home / "src", "shut", PYTHON))
        yield server


def do(server: Server, name: str, what: str, *args: Any) -> tuple[dict[str, Any], str]:
    """What a function says of an attempt, and the run that made it."""
    reply = server.api.invoke(name, {"do": what, "args": list(args)}).expect(200)
    return reply.json()["result"], reply.headers["x-run-id"]


def denial(server: Server, run_id: str, word: str) -> str:
    """Waits for the line of a run's log that tells of a refused attempt, and returns it."""

    def line() -> str | None:
        reply = server.http.get(f"/api/v1/runs/{run_id}/logs")
        lines = [] if reply.status == 404 else reply.expect(200).json()["items"]
        found = [line for line in lines if "network denied" in line["message"] and word in line["message"]]
        assert all(line["level"] == "warn" for line in found)
        return found[0]["message"] if found else None

    return until(line, f"a line about {word} in the log of {run_id}")


def test_python_reaches_a_server_by_address_and_by_name(connected: Server, web: WebServer) -> None:
    before = len(web.seen)
    answer, _ = do(connected, "reach", "get", f"{web.url}/one")
    assert answer.get("ok") == f"you asked {INSIDE}:{web.port} for /one", answer
    answer, _ = do(connected, "reach", "get", f"http://api.test:{web.port}/two")
    assert answer.get("ok") == f"you asked api.test:{web.port} for /two", answer
    assert web.seen[before:] == [(INSIDE, "/one"), (INSIDE, "/two")]
    answer, _ = do(connected, "reach", "upload", f"{web.url}/three", 16)
    assert answer.get("ok") == 16 << 20, answer


@pytest.mark.needs("node")
def test_node_reaches_a_server(connected: Server, web: WebServer, tmp_path: Path) -> None:
    connected.deploy(write_function(tmp_path, "node-reach", {"index.mjs": NODE}, runtime="node", network="egress"))
    for host in (INSIDE, "api.test"):
        answer = connected.api.invoke("node-reach", {"url": f"http://{host}:{web.port}/node"}).expect(200).json()
        assert answer == {"ok": f"you asked {host}:{web.port} for /node"}


def test_a_forbidden_address_is_refused_at_once_and_logged(connected: Server, web: WebServer) -> None:
    with WebServer(OUTSIDE) as other:
        answer, run_id = do(connected, "reach", "connect", OUTSIDE, other.port)
        assert (answer.get("error"), answer["seconds"] < 15) == ("OSError", True), answer
        line = denial(connected, run_id, f"{OUTSIDE}:{other.port}")
        assert "egress.private" in line, line
        assert other.seen == []
    # The function's own rules: the same server by another name than the one that is allowed.
    answer, _ = do(connected, "only-api", "get", f"http://api.test:{web.port}/allowed")
    assert answer.get("ok"), answer
    answer, run_id = do(connected, "only-api", "connect", PUBLIC, 80)
    assert answer.get("error") == "OSError", answer
    assert "allow" in denial(connected, run_id, f"{PUBLIC}:80")


def test_a_name_that_no_rule_allows_is_not_asked_for(connected: Server, names: NameServer) -> None:
    answer, run_id = do(connected, "only-api", "look_up", "secret.of.mine.evil.test")
    assert answer.get("error") == "gaierror", answer
    assert "look-up of secret.of.mine.evil.test" in denial(connected, run_id, "evil.test")
    assert "secret.of.mine.evil.test" not in names.asked


def test_localhost_is_the_sandbox(connected: Server, network: OwnNetwork) -> None:
    with WebServer("127.0.0.1") as host:
        answer, _ = do(connected, "reach", "connect", "127.0.0.1", host.port)
        assert answer.get("error") == "ConnectionRefusedError", answer
        assert host.seen == []
    answer, _ = do(connected, "reach", "own_server")
    assert answer.get("ok") == ["inside"] * 3, answer


def test_a_function_without_a_network_has_no_device(connected: Server, web: WebServer) -> None:
    answer, _ = do(connected, "shut", "interfaces")
    assert [name for name in answer["ok"] if name.startswith("eth")] == []
    answer, _ = do(connected, "shut", "connect", INSIDE, web.port)
    assert (answer.get("error"), answer["errno"]) == ("OSError", 101), answer
    answer, _ = do(connected, "reach", "interfaces")
    assert "eth0" in answer["ok"]


def test_many_at_once_have_networks_of_their_own(connected: Server, web: WebServer, tmp_path: Path) -> None:
    slow = PYTHON + "\n\ndef slowly(url):\n    time.sleep(0.5)\n    return get(url)\n"
    scaling = {"max": 8, "concurrency": 1}
    connected.deploy(write_function(tmp_path, "many", slow, network="egress", scaling=scaling, timeout="60s"))
    before = len(web.seen)
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(do, connected, "many", "slowly", f"{web.url}/{number}") for number in range(16)]
        answers = [call.result()[0].get("ok") for call in calls]
    assert answers == [f"you asked {INSIDE}:{web.port} for /{number}" for number in range(16)]
    assert sorted(path for _, path in web.seen[before:]) == sorted(f"/{number}" for number in range(16))


def devices_of(server: Server) -> list[str]:
    """The device files that the server and its processes have open."""
    server.footprint.look(server.pid)
    found = []
    for process in server.footprint.processes:
        folder = Path(f"/proc/{process.pid}/fd")
        try:
            found += [path for path in map(os.readlink, folder.iterdir()) if path.endswith("/net/tun")]
        except OSError:
            continue
    return found


def test_the_end_of_an_instance_leaves_nothing(web: WebServer, names: NameServer) -> None:
    env = {"FAAS_EGRESS_PRIVATE": f"{INSIDE}/32", "FAAS_EGRESS_RESOLVERS": names.address, "FAAS_PARKED": "0"}
    with Server(env=env) as server:
        folder = write_function(server.home / "src", "reach", PYTHON, network="egress")
        server.deploy(folder)
        answer, _ = do(server, "reach", "get", web.url)
        assert answer.get("ok"), answer
        assert devices_of(server) != [], "the device is nowhere"
        server.cli("fn", "delete", "reach", "--yes").ok()
        until(lambda: devices_of(server) == [], "no device is left", within=60)
        server.deploy(folder)
        answer, _ = do(server, "reach", "get", web.url)
        assert answer.get("ok"), answer
        assert server.stop() == 0
        until(lambda: server.footprint.leftovers() == [], "nothing is left")


def test_a_killed_network_process_costs_connections_only(connected: Server, web: WebServer) -> None:
    answer, _ = do(connected, "reach", "get", web.url)
    assert answer.get("ok"), answer
    for _ in range(3):
        end_network_process(connected)
        answer = until(lambda: reached(connected, web), "the network works again", within=30)
        assert answer == f"you asked {INSIDE}:{web.port} for /"


def test_a_network_process_that_hangs_is_replaced(connected: Server, web: WebServer) -> None:
    answer, _ = do(connected, "reach", "get", web.url)
    assert answer.get("ok"), answer
    [hung] = network_processes(connected)
    os.kill(hung, signal.SIGSTOP)
    until(lambda: hung not in network_processes(connected), "it is gone", within=60)
    answer = until(lambda: reached(connected, web), "the network works again", within=30)
    assert answer == f"you asked {INSIDE}:{web.port} for /"
    assert "the network process has failed" in connected.log()


def end_network_process(server: Server) -> None:
    """Kills the one that there is."""
    [process] = network_processes(server)
    os.kill(process, 9)
    until(lambda: process not in network_processes(server), "it is gone")


def reached(server: Server, web: WebServer) -> str | None:
    """What the web server answered, if it was reached."""
    answer, _ = do(server, "reach", "get", web.url)
    return answer.get("ok")


def network_processes(server: Server) -> list[int]:
    """The children of a server that speak for sandboxes."""
    children = Path(f"/proc/{server.pid}/task").glob("*/children")
    pids = [int(pid) for path in children for pid in path.read_text().split()]
    return [pid for pid in pids if command_of(pid).startswith(b"faas-net\0")]


def command_of(pid: int) -> bytes:
    """The command line of a process; nothing once it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def open_device(server: Server, mode: int) -> None:
    """Gives the server a `/dev/net/tun` of its own with these rights, in a name space of mounts of its own."""
    node = server.home / "tun"
    os.mknod(node, mode | stat.S_IFCHR, os.makedev(10, 200))
    node.chmod(mode)
    script = 'mount --bind "$0" /dev/net/tun && exec "$@"'
    server.prefix = ["unshare", "--mount", "sh", "-c", script, str(node), *server.prefix]


@pytest.mark.needs("ordinary", "userns")
def test_an_ordinary_user_has_a_network_where_the_device_is_open(web: WebServer, names: NameServer) -> None:
    env = {"FAAS_EGRESS_PRIVATE": f"{INSIDE}/32", "FAAS_EGRESS_RESOLVERS": names.address}
    server = Server(ordinary_user=True, env=env)
    open_device(server, 0o666)
    with server:
        server.deploy(write_function(server.home / "src", "reach", PYTHON, network="egress"))
        answer, _ = do(server, "reach", "get", web.url)
        assert answer.get("ok"), answer
        answer, run_id = do(server, "reach", "connect", OUTSIDE, 80)
        assert answer.get("error") == "OSError", answer
        denial(server, run_id, OUTSIDE)


@pytest.mark.needs("ordinary", "userns")
def test_without_the_device_a_deployment_is_refused_with_the_fix(network: OwnNetwork, tmp_path: Path) -> None:
    server = Server(ordinary_user=True)
    open_device(server, 0o600)
    with server:
        [told] = [line for line in server.log().splitlines() if "no function can have a network here" in line]
        assert "chmod 0666 /dev/net/tun" in told, told
        folder = write_function(server.home / "src", "reach", PYTHON, network="egress")
        refused = server.cli("deploy", folder, timeout=180)
        assert refused.code != 0
        said = refused.stdout + refused.stderr
        assert "/dev/net/tun" in said and "chmod 0666 /dev/net/tun" in said, said
        report = server.cli("doctor", "-o", "json").json()
        [probe] = [probe for probe in report["probes"] if probe["feature"] == "egress"]
        assert probe["enforced"] is False and "chmod 0666 /dev/net/tun" in probe["fix"], probe
        # Others are none the worse.
        server.deploy(write_function(server.home / "src", "shut", PYTHON))
        assert do(server, "shut", "interfaces")[0].get("ok") is not None


def test_a_refused_attempt_is_the_likely_cause(connected: Server, tmp_path: Path) -> None:
    code = "import urllib.request\n\ndef handler():\n    urllib.request.urlopen('http://198.18.7.9:81/', timeout=5)\n"
    connected.deploy(write_function(tmp_path, "fails", code, network="egress"))
    reply = connected.api.invoke("fails").expect(502)
    error = connected.api.finished(reply.headers["x-run-id"])["error"]
    assert error["cause"] == "network_denied", error
    assert error["advice"].startswith("the network refused tcp to 198.18.7.9:81: "), error
    assert 'add "198.18.7.9:81" to egress.private' in error["advice"], error
    said = connected.cli("invoke", "fails")
    assert said.code != 0 and "likely cause: the network refused tcp to 198.18.7.9:81" in said.stderr, said.stderr
