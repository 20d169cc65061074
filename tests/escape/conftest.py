"""Servers and bait for the escape attempts: everything here runs once for each way of starting instances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import MACHINE, WAYS, Server, until, write_function

from escape.decoys import Decoys, decoys
from escape.sealed import Sealed

ATTEMPTS = Path(__file__).parent / "attempts"
# What the server itself calls each way.
PATHS = {"opened": "exec", "parked": "parked"}
NEIGHBOUR = "def handler(x: int):\n    return x + 1\n"


@pytest.fixture(scope="package")
def bait() -> Iterator[Decoys]:
    with decoys() as laid:
        yield laid


@pytest.fixture(scope="package", params=sorted(WAYS))
def way(request: pytest.FixtureRequest) -> str:
    """How the servers of a test start instances."""
    return request.param


def _with_attempts(server: Server) -> Server:
    files = {path.name: path.read_text(encoding="utf-8") for path in sorted(ATTEMPTS.glob("*.py"))}
    server.deploy(write_function(server.home / "src", "attempts", files, timeout="20s"))
    if MACHINE.tun and not server.prefix:
        server.deploy(write_function(server.home / "src", "networked", files, timeout="20s", network="egress"))
    server.deploy(write_function(server.home / "src", "neighbour", NEIGHBOUR, scaling={"max": 1}))
    return server


@pytest.fixture(scope="package")
def confined(way: str) -> Iterator[Server]:
    """A server run as whoever runs the tests, with the attempts deployed, and a neighbour."""
    with Server(env=WAYS[way]) as server:
        _with_attempts(server)
        if MACHINE.root:
            _go(server, way)
        yield server


def _go(server: Server, way: str) -> None:
    """Starts the instance that makes the attempts, and proves by which way it came."""
    path = PATHS[way]
    if way == "parked":
        until(lambda: server.metric("faas_runtimes_parked") > 0, "a runtime waits", within=60)
    before = server.metric("faas_instance_starts_total", path)
    assert server.api.invoke("attempts").expect(200).headers["x-cold-start"] == "true"
    assert server.metric("faas_instance_starts_total", path) > before, f"the instance did not come by way of {path}"


@pytest.fixture(scope="package")
def ordinary() -> Iterator[Server]:
    """The same, run as an ordinary user, for whom nothing is opened ahead of time."""
    with Server(ordinary_user=True) as server:
        yield _with_attempts(server)


@pytest.fixture(scope="package")
def sealed(confined: Server) -> Sealed:
    """Every layer of that server as it was before the first attempt."""
    return Sealed.of(confined.data / "layers")


@pytest.fixture
def server(confined: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server of the way at hand; its log is shown when the test fails, and it must still live afterwards."""
    before = len(confined.log())
    yield confined
    print(f"--- server log during {request.node.name} ---\n{confined.log()[before:][-8000:]}")
    assert confined.pid_status() is None, "the server died during this test"
