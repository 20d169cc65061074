"""Fixtures of all outside tests, and the honest account of what this machine cannot run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import MACHINE, Server
from harness.index import PythonIndex

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

# What `scripts/setup test` was to install: never left out, for nobody would notice that it is missing.
INSTALLED = {name for name in os.environ.get("FAAS_TEST_INSTALLED", "").split(",") if name}
LEFT_OUT = pytest.StashKey[list[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*names): what the machine must offer; see harness/machine.py")
    config.stash[LEFT_OUT] = []
    # What starts the tests in the background may have them ignore signals, and programs that they start would go on
    # ignoring them. A signal that has a handler here is the system's own again there.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Takes out what this machine cannot run, and remembers why. Such a test counts as not run, never as passed."""
    kept, out = [], []
    for item in items:
        needs = [name for marker in item.iter_markers("needs") for name in marker.args]
        lacks = MACHINE.lacks(needs)
        if any(lack.need in INSTALLED for lack in lacks):
            kept.append(item)
            continue
        (out if lacks else kept).append(item)
        config.stash[LEFT_OUT] += [(item.nodeid, lack.why) for lack in lacks]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = kept


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fails a test that lacks what was to be installed."""
    needs = [name for marker in item.iter_markers("needs") for name in marker.args if name in INSTALLED]
    for lack in MACHINE.lacks(needs):
        pytest.fail(f"scripts/setup was to install it: {lack.why}", pytrace=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hands what a worker left out to the process that reports."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["left_out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    left_out = getattr(node, "workeroutput", {}).get("left_out", [])
    node.config.stash[LEFT_OUT] += [(test, why) for test, why in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    # Each worker collects every test.
    for test, why in dict.fromkeys(config.stash[LEFT_OUT]):
        terminalreporter.write_line(f"NOT RUN HERE {test}: {why}")


@pytest.fixture(scope="session")
def package_index() -> Iterator[PythonIndex]:
    """Where the shared server's builds find packages."""
    with PythonIndex() as index:
        yield index


@pytest.fixture(scope="session")
def shared_server(package_index: PythonIndex) -> Iterator[Server]:
    """One server for all tests that do not stop it. They keep to functions of their own."""
    with Server(env={"FAAS_BUILD_INDEXES_PYPI": package_index.url}) as server:
        yield server


@pytest.fixture
def server(shared_server: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The shared server; its log is shown when the test fails, and it must still live afterwards."""
    before = len(shared_server.log())
    yield shared_server
    report = shared_server.log()[before:]
    print(f"--- server log during {request.node.name} ---\n{report[-8000:]}")
    assert shared_server.pid_status() is None, "the server died during this test"


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A function name of the test's own."""
    words = "".join(c if c.isalnum() else "-" for c in request.node.name.lower())
    return "t-" + words.strip("-").removeprefix("test-")[:50].strip("-")
