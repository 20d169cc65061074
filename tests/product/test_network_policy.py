"""What functions may connect to, shown, changed while they run, and tried; on a network of the tests' own."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server, until, write_function
from harness.network import NameServer, OwnNetwork

pytestmark = pytest.mark.needs("root", "tun")

# Private addresses: one that the operator opens for all, one of a named network.
INSIDE, STORE = "10.213.0.1", "10.213.0.5"

PYTHON = """
import os, socket, uuid

BOOT = uuid.uuid4().hex
KEPT = []


def connect(host, port):
    with socket.create_connection((host, port), timeout=20) as one:
        one.sendall(b"hello")
        return one.recv(100).decode()


def keep(host, port):
    KEPT.append(socket.create_connection((host, port), timeout=20))
    return talk()


def talk():
    KEPT[-1].sendall(b"still there")
    answer = KEPT[-1].recv(100)
    if not answer:
        raise ConnectionResetError("closed")
    return answer.decode()


def handler(do, args=()):
    try:
        return {"ok": globals()[do](*args), "boot": BOOT}
    except OSError as error:
        return {"error": type(error).__name__, "boot": BOOT}
"""
FAILS = """
import socket

def handler(port):
    socket.create_connection(("10.213.0.1", port), timeout=20)
"""


class Echo:
    """Sends back what it gets, on one address."""

    def __init__(self, address: str) -> None:
        self._listener = socket.create_server((address, 0))
        self.port = self._listener.getsockname()[1]
        self.heard: list[bytes] = []
        self.accepted = 0

    def __enter__(self) -> Echo:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: socket.socket) -> None:
        with stream:
            try:
                while data := stream.recv(65536):
                    self.heard.append(data)
                    stream.sendall(data)
            except OSError:
                return


@pytest.fixture(scope="module")
def network() -> Iterator[OwnNetwork]:
    with OwnNetwork(INSIDE, STORE) as network:
        yield network


@pytest.fixture(scope="module")
def echo(network: OwnNetwork) -> Iterator[Echo]:
    with Echo(INSIDE) as echo:
        yield echo


@pytest.fixture(scope="module")
def names(network: OwnNetwork) -> Iterator[NameServer]:
    with NameServer({"echo.test": INSIDE, "hidden.test": STORE}) as names:
        yield names


@pytest.fixture(scope="module")
def server(echo: Echo, names: NameServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = tmp_path_factory.mktemp("config") / "server.toml"
    config.write_text(
        f'[egress]\nprivate = ["{INSIDE}/32"]\nresolvers = ["{names.address}"]\n'
        f'[egress.networks]\nstore = ["{STORE}"]\n'
        f'others = {{ targets = ["{STORE}"], projects = ["prj_01ARZ3NDEKTSV4RRFFQ69G5FAV"] }}\n'
    )
    with Server(args=["--config", str(config)]) as server:
        yield server


def deploy(server: Server, parent: Path, name: str, code: str = PYTHON, **rules: Any) -> Any:
    rules = {"network": "egress", "timeout": "60s", "scaling.max": 1} | rules
    return server.deploy(write_function(parent, name, code, **rules))


def do(server: Server, name: str, what: str, *args: Any) -> dict[str, Any]:
    return server.api.invoke(name, {"do": what, "args": list(args)}).expect(200).json()["result"]


def logged(server: Server, name: str, word: str) -> str:
    """Waits for the line of a function's log with these words."""

    def line() -> str | None:
        lines = server.http.get(f"/api/v1/functions/{name}/logs").expect(200).json()["items"]
        return next((line["message"] for line in lines if word in line["message"]), None)

    return until(line, f"a line of {name} about {word}")


def test_a_change_reaches_running_instances_and_their_connections(server: Server, echo: Echo, tmp_path: Path) -> None:
    target = f"{INSIDE}:{echo.port}"
    deploy(server, tmp_path, "live", **{"egress.allow": [target]})
    first = do(server, "live", "keep", INSIDE, echo.port)
    assert first.get("ok") == "still there", first
    assert do(server, "live", "talk")["ok"] == "still there"

    shown = server.cli("network", "set", "live", "--nothing", "-o", "json").json()
    assert (shown["policy"]["allow"], shown["source"]) == ([], "function"), shown
    assert shown["manifest"]["allow"] == [target]
    until(lambda: "error" in do(server, "live", "talk"), "the open connection is closed")
    refused = do(server, "live", "connect", INSIDE, echo.port)
    assert refused == {"error": "OSError", "boot": first["boot"]}, "the same instance, with other rules"

    server.cli("network", "set", "live", "--allow", f"{target},*.test").ok()
    allowed = do(server, "live", "connect", INSIDE, echo.port)
    assert allowed == {"ok": "hello", "boot": first["boot"]}
    server.cli("network", "set", "live", "--deny", f"{INSIDE}/32").ok()
    shown = server.cli("network", "show", "live", "-o", "json").json()
    assert shown["policy"] == {"allow": [target, "*.test"], "deny": [INSIDE], "networks": [], "log": "denied"}
    assert do(server, "live", "connect", INSIDE, echo.port)["error"] == "OSError"
    line = logged(server, "live", "the function denies")
    assert line.endswith(f'to allow it: remove "{INSIDE}" from the list that `faas network set --deny` gave'), line

    row = "set by admin in place of the manifest's; see `faas network get live`"
    assert row in server.cli("fn", "get", "live").ok().stdout
    reset = server.cli("network", "reset", "live").ok()
    assert "the manifest's policy counts for live again" in reset.stderr, reset
    reset = server.cli("network", "reset", "live").exits(4)
    assert "no network policy was set for `live`" in reset.stderr, reset
    assert row not in server.cli("fn", "get", "live").ok().stdout
    assert do(server, "live", "connect", INSIDE, echo.port) == {"ok": "hello", "boot": first["boot"]}
    shown = server.cli("network", "show", "live", "-o", "json").json()
    assert (shown["policy"]["allow"], shown["source"]) == ([target], "manifest")


def test_a_change_outlives_a_killed_server_deployments_and_rollbacks(
    echo: Echo, names: NameServer, tmp_path: Path
) -> None:
    env = {"FAAS_EGRESS_PRIVATE": INSIDE, "FAAS_EGRESS_RESOLVERS": names.address}
    with Server(env=env) as server:
        deploy(server, tmp_path, "kept")
        assert do(server, "kept", "connect", INSIDE, echo.port).get("ok") == "hello"
        server.cli("network", "set", "kept", "--deny", INSIDE).ok()
        server.kill()
        server.start()
        assert do(server, "kept", "connect", INSIDE, echo.port).get("error") == "OSError"
        deployed = deploy(server, tmp_path, "kept", **{"egress.allow": [INSIDE]})
        assert (deployed["version"], deployed["network_set_by"]) == (2, "admin")
        assert do(server, "kept", "connect", INSIDE, echo.port).get("error") == "OSError"
        shut = server.deploy(write_function(tmp_path, "kept", PYTHON, network="none"))
        assert (shut["version"], shut.get("network_set_by")) == (3, None), "there is no network to set a policy for"
        server.cli("rollback", "kept", "--to", "1").ok()
        assert do(server, "kept", "connect", INSIDE, echo.port).get("error") == "OSError"
        server.cli("network", "reset", "kept").ok()
        assert do(server, "kept", "connect", INSIDE, echo.port).get("ok") == "hello"


def test_a_policy_that_cannot_hold_is_refused_with_field_and_fix(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "strict")
    for body, said in [
        ({"allow": ["https://a.example/x"]}, "allow: "),
        ({"deny": ["localhost"]}, "deny: localhost is the instance itself"),
        ({"networks": ["other"]}, "networks: there is no private network `other`"),
        ({"networks": ["others"]}, "this project may ask for: store"),
        ({"denied": []}, "denied"),
        ({"allow": ["127.0.0.1"]}, "allow: 127.0.0.1 is the instance itself"),
        ({}, "nothing to change"),
    ]:
        reply = server.http.request("PATCH", "/api/v1/functions/strict/network", json_body=body).expect(422)
        assert said in reply.body.decode(), (body, reply.body)
    server.deploy(write_function(tmp_path, "off", PYTHON))
    refused = server.cli("network", "set", "off", "--any")
    assert refused.code != 0 and 'network = "egress"' in refused.stderr, refused


def test_a_try_tells_what_a_connection_of_the_function_would_meet(server: Server, echo: Echo, tmp_path: Path) -> None:
    deploy(server, tmp_path, "tried", **{"egress.allow": ["echo.test", "hidden.test"]})
    accepted, heard = echo.accepted, len(echo.heard)
    result = server.cli("network", "test", "tried", f"echo.test:{echo.port}", "-o", "json").ok().json()
    assert (result["outcome"], result["address"]) == ("connected", INSIDE), result
    assert result["addresses"] == [{"address": INSIDE} | result["decision"]] and result["decision"]["allowed"], result
    assert result["connect_ms"] >= 0 and result["look_up_ms"] >= 0
    until(lambda: echo.accepted == accepted + 1, "it was really made")
    assert len(echo.heard) == heard, "nothing is sent"

    result = server.cli("network", "test", "tried", f"{INSIDE}:{echo.port}", "-o", "json").exits(1).json()
    assert (result["outcome"], result["decision"]["allowed"]) == ("denied", False), result
    for host in ("hidden.test", STORE):
        result = server.cli("network", "test", "tried", f"{host}:5432", "-o", "json").exits(1).json()
        assert result["outcome"] == "denied" and 'add "store" to egress.networks' in result["decision"]["key"], result
        assert [each["address"] for each in result["addresses"]] == [STORE]
    shown = server.cli("network", "test", "tried", "other.test:443").exits(1).stdout
    assert 'add "other.test" to egress.allow' in shown, shown
    result = server.cli("network", "test", "tried", f"echo.test:{echo.port}", "--udp", "-o", "json").ok().json()
    assert (result["outcome"], result["protocol"]) == ("connected", "udp")
    refused = server.cli("network", "test", "tried", "localhost:80")
    assert refused.code != 0 and "the instance itself" in refused.stderr, refused


def test_who_may_not_deploy_may_not_try(server: Server, tmp_path: Path) -> None:
    deploy(server, tmp_path, "guarded")
    reader = server.api.create_key("reader", ["functions:read", "invoke", "runs:read"])["key"]
    cli = server.cli_with(FAAS_ENDPOINT=f"http://127.0.0.1:{server.port}", FAAS_API_KEY=reader)
    assert cli("network", "show", "guarded").ok()
    for words in (["test", "guarded", f"{INSIDE}:80"], ["set", "guarded", "--any"], ["reset", "guarded"]):
        refused = cli("network", *words)
        assert refused.code != 0 and "functions:write" in refused.stderr, refused


def test_figures_and_the_log_of_connections(server: Server, echo: Echo, tmp_path: Path) -> None:
    deploy(server, tmp_path, "counted", **{"egress.log": "all", "egress.allow": [f"{INSIDE}:{echo.port}"]})
    assert do(server, "counted", "connect", INSIDE, echo.port).get("ok") == "hello"
    line = logged(server, "counted", "network: tcp to ")
    assert line.startswith(f"network: tcp to {INSIDE}:{echo.port}: 5 bytes sent, 5 received, "), line
    assert do(server, "counted", "connect", STORE, 1).get("error") == "OSError"

    def usage() -> dict[str, int]:
        return server.http.get("/api/v1/functions/counted/metrics").expect(200).json().get("network", {})

    wanted = {"connections": 1, "open": 0, "denied": 1, "sent_bytes": 5, "received_bytes": 5}
    until(lambda: usage() == wanted, "all of it is counted")
    assert server.metric("faas_network_sent_bytes_total", 'function="counted"') == 5
    assert server.metric("faas_network_denied_total", 'function="counted"') == 1
    assert "5 B" in server.cli("fn", "metrics", "counted").ok().stdout
    assert 'function="off"' not in "".join(
        line for line in server.http.get("/metrics").expect(200).body.decode().splitlines() if "faas_network" in line
    )


def test_a_refused_attempt_is_named_by_the_cause_each_time(server: Server, echo: Echo, tmp_path: Path) -> None:
    deploy(server, tmp_path, "failing", FAILS, **{"egress.deny": [f"{INSIDE}:{echo.port}"]})
    for _ in range(3):
        reply = server.api.invoke("failing", {"port": echo.port}).expect(502)
        error = server.api.finished(reply.headers["x-run-id"])["error"]
        assert error["cause"] == "network_denied", error
        words = f"the network refused tcp to {INSIDE}:{echo.port}: the function denies"
        assert error["advice"].startswith(words), error
        assert f'remove "{INSIDE}:{echo.port}" from egress.deny' in error["advice"], error
        # The instance is the same, and each run has the line in its own log.
        lines = server.api.log_lines(reply.headers["x-run-id"], 2)
        assert len([line for line in lines if line["message"].startswith("network denied: tcp to ")]) == 1, lines
    # A far end that refuses is no rule's doing.
    with socket.create_server((INSIDE, 0)) as free:
        port = free.getsockname()[1]
    deploy(server, tmp_path, "refused", FAILS)
    reply = server.api.invoke("refused", {"port": port}).expect(502)
    error = server.api.finished(reply.headers["x-run-id"])["error"]
    assert "the network refused" not in error["advice"], error


def test_private_networks_are_refused_at_the_deployment_unless_granted(
    server: Server, network: OwnNetwork, tmp_path: Path
) -> None:
    for name in ("nowhere", "others"):
        folder = write_function(tmp_path, "asks", PYTHON, network="egress", **{"egress.networks": [name]})
        refused = server.cli("deploy", folder, timeout=120)
        said = refused.stdout + refused.stderr
        assert refused.code != 0 and f"egress.networks: there is no private network `{name}`" in said, said
        assert "this project may ask for: store" in said, said
    with Echo(STORE) as store:
        deploy(server, tmp_path, "asks", **{"egress.allow": [], "egress.networks": ["store"]})
        assert do(server, "asks", "connect", STORE, store.port).get("ok") == "hello"
        set_ = server.cli("network", "set", "asks", "--nothing").ok()
        assert "nothing besides private networks store; --no-networks shuts them too" in set_.stderr, set_
        assert do(server, "asks", "connect", STORE, store.port).get("ok") == "hello"
        server.cli("network", "set", "asks", "--no-networks").ok()
        assert do(server, "asks", "connect", STORE, store.port).get("error") == "OSError"
    assert json.loads(server.cli("network", "show", "asks", "-o", "json").stdout)["granted"] == ["store"]
