"""Servers and bait for the escape attempts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server, write_function

from escape.decoys import Decoys, decoys

ATTEMPTS = Path(__file__).parent / "attempts"


@pytest.fixture(scope="package")
def bait() -> Iterator[Decoys]:
    with decoys() as laid:
        yield laid


def _with_attempts(server: Server) -> Server:
    files = {path.name: path.read_text(encoding="utf-8") for path in sorted(ATTEMPTS.glob("*.py"))}
    folder = write_function(server.home / "src", "attempts", files, timeout="20s")
    server.deploy(folder)
    return server


@pytest.fixture(scope="package")
def confined(shared_server: Server) -> Server:
    """A server run as whoever runs the tests, with the attempts deployed."""
    return _with_attempts(shared_server)


@pytest.fixture(scope="package")
def ordinary() -> Iterator[Server]:
    """The same, run as an ordinary user."""
    with Server(ordinary_user=True) as server:
        yield _with_attempts(server)
