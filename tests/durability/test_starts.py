"""What waits for functions may die at any time: the next call is answered, and nothing is left."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Server, until, write_function
from harness.footprint import Footprint

HANDLER = "import os\ndef handler(event):\n    return [os.getpid(), len(os.listdir('/proc/self/fd'))]\n"
PARKED = 3

# Below level 2, nothing waits.
pytestmark = pytest.mark.needs("root", "cgroups")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(env={"FAAS_PARKED": str(PARKED)}) as started:
        started.deploy(write_function(started.home / "src", "first", HANDLER))
        until(lambda: metric(started, "faas_runtimes_parked") == PARKED, "runtimes wait")
        yield started


def metric(server: Server, name: str, label: str = "") -> float:
    """The sum of a family's samples with this text in their labels."""
    text = server.http.get("/metrics").body.decode()
    found = re.findall(rf"^{name}(?:{{([^}}]*)}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for labels, value in found if label in labels)


def children(pid: int) -> dict[int, str]:
    """Every descendant with its arguments."""
    found: dict[int, str] = {}
    todo = [pid]
    while todo:
        parent = todo.pop()
        for child in _direct(parent):
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                todo.append(child)
    return found


def spawner(server: Server) -> int:
    return _first(lambda: [pid for pid, words in children(server.pid).items() if "__spawner" in words])


def zygote(server: Server) -> int:
    return _first(lambda: _below(server, spawner(server), "--zygote"))


def parked_init(server: Server) -> int:
    """The first process of a sandbox that waits: those of instances have the runtime as their only child."""

    def inits() -> list[int]:
        every = _direct(spawner(server))
        zygotes = _below(server, spawner(server), "--zygote")
        return [pid for pid in every if pid not in zygotes and len(_direct(pid)) == 2]

    return _first(inits)


def parked_runtime(server: Server) -> int:
    return _first(lambda: _below(server, parked_init(server), "boot.py"))


def parked_porter(server: Server) -> int:
    def porters() -> list[int]:
        init = parked_init(server)
        runtimes = _below(server, init, "boot.py")
        return [pid for pid in _direct(init) if pid not in runtimes] if runtimes else []

    return _first(porters)


def _first(found: Callable[[], list[int]]) -> int:
    """Looked for again while there is none: processes come and go."""
    return until(found, "there is such a process")[0]


def _below(server: Server, parent: int, words: str) -> list[int]:
    every = children(server.pid)
    return [pid for pid in _direct(parent) if words in every.get(pid, "")]


def _direct(pid: int) -> list[int]:
    """Children of each of its threads."""
    found: list[int] = []
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    return found


@pytest.mark.parametrize("victim", [zygote, spawner, parked_init, parked_runtime, parked_porter])
def test_the_next_call_is_answered(server: Server, victim: Callable[[Server], int]) -> None:
    os.kill(victim(server), signal.SIGKILL)
    # More calls than runtimes wait, each for an instance of its own.
    for number in range(PARKED + 2):
        name = f"after-{victim.__name__.replace('_', '-')}-{number}"
        server.deploy(write_function(server.home / "src", name, HANDLER))
        answer = server.api.invoke(name)
        assert answer.status == 200, answer.body
    # More than usual, after so many starts.
    until(lambda: metric(server, "faas_runtimes_parked") >= PARKED, "runtimes wait again")


def test_calls_use_what_waits(server: Server) -> None:
    before = metric(server, "faas_instance_starts_total", "parked")
    answer = server.api.invoke("first")
    assert answer.status == 200
    # Input, outputs, channel, and the directory being listed.
    assert answer.json()[1] == 5
    assert metric(server, "faas_instance_starts_total", "parked") == before + 1


REPORT = """import os, sys, signal
def handler(event):
    return {
        "environment": sorted(os.environ),
        "path": sys.path,
        "finders": [getattr(each, "__name__", type(each).__name__) for each in sys.meta_path],
        "arguments": sys.argv,
        "directory": os.getcwd(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "child signal": str(signal.getsignal(signal.SIGCHLD)),
        "streams": [type(sys.stdout).__name__, sys.stdout is sys.__stdout__, type(sys.stderr).__name__],
        "samples": [name for name in [*sys.modules, *sys.path_importer_cache] if "sample" in name],
    }
"""


def test_what_has_waited_is_as_what_has_not(server: Server) -> None:
    server.deploy(write_function(server.home / "src", "report", REPORT))
    until(lambda: metric(server, "faas_runtimes_parked") >= PARKED, "runtimes wait")
    before = metric(server, "faas_instance_starts_total", "parked")
    waited = server.api.invoke("report").json()
    assert metric(server, "faas_instance_starts_total", "parked") == before + 1
    with Server(env={"FAAS_PARKED": "0"}) as other:
        other.deploy(write_function(other.home / "src", "report", REPORT))
        assert waited == other.api.invoke("report").json()
    assert waited["samples"] == []


def test_a_first_call_finds_its_memory_in_place(server: Server) -> None:
    """The first write of a fork to a page that it shares copies that page: some 430 of them in a process that has
    neither loaded nor answered anything before."""
    server.deploy(write_function(server.home / "src", "faults", HANDLER))
    until(lambda: metric(server, "faas_runtimes_parked") >= PARKED, "runtimes wait")
    runtimes = [pid for pid, words in children(server.pid).items() if "boot.py" in words and pid != zygote(server)]
    before = {pid: faults(pid) for pid in runtimes}
    path = metric(server, "faas_instance_starts_total", "parked")
    assert server.api.invoke("faults").status == 200
    assert metric(server, "faas_instance_starts_total", "parked") == path + 1
    more = {pid: faults(pid) - count for pid, count in before.items() if faults(pid) > count}
    assert len(more) == 1, more
    assert 0 < sum(more.values()) < 150, more


def faults(pid: int) -> int:
    """Pages that a process met for the first time, as of the last moment of its life."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])
    return 0


def test_nothing_waits_without_functions(server: Server) -> None:
    for function in server.http.get("/api/v1/functions?limit=200").json()["items"]:
        server.cli("fn", "delete", function["name"], "--yes")
    until(lambda: metric(server, "faas_runtimes_parked") == 0, "nothing waits")
    until(lambda: not _direct(spawner(server)), "no process is left")


def test_a_killed_server_leaves_nothing_waiting(server: Server) -> None:
    server.deploy(write_function(server.home / "src", "last", HANDLER))
    until(lambda: metric(server, "faas_runtimes_parked") == PARKED, "runtimes wait")
    footprint = Footprint(server.marker, server.data)
    footprint.look(server.pid)
    assert len(footprint.processes) > 2 * PARKED
    server.kill()
    until(lambda: not footprint.alive(), "every process is gone")
