"""What one call leaves behind, no instance of another function, version or setting finds, and none after a bad end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from harness import Server, write_function

from escape.canaries import code

# Every place that is left in must be found again by the same instance, or the look elsewhere proves nothing.
SURELY_LEFT = {
    "/tmp/canary-8d1f",
    "/dev/shm/canary-8d1f",
    "environment",
    "builtins",
    "a module",
    "sys.path",
    "shared memory",
    "a semaphore",
    "a queue",
    "an abstract socket",
    "umask",
    "working directory",
    "niceness",
    "a signal's handler",
    "a blocked signal",
    "a limit",
    "a thread",
}
ENDS = {"sleep": (504, "FN_002"), "crash": (502, "FN_004"), "exit": (502, "FN_004"), "grow": (502, "FN_003")}


def deploy(server: Server, tmp_path: Path, name: str, version: int = 1) -> None:
    server.deploy(write_function(tmp_path, name, code(version), timeout="1s", scaling={"max": 1}))


def seen(server: Server, name: str, **event: object) -> dict:
    # A server that was started with a lower priority gives that to what it starts.
    event["niceness"] = os.getpriority(os.PRIO_PROCESS, server.pid)
    return server.api.invoke(name, event).expect(200).json()


def leave(server: Server, name: str) -> None:
    """Leaves traces, and proves that the same instance sees them."""
    assert seen(server, name, leave=True)["seen"] == []
    found = seen(server, name)["seen"]
    assert set(found) >= SURELY_LEFT, f"not found again by the same instance: {SURELY_LEFT - set(found)}"
    assert any(place.startswith("process ") for place in found)
    assert any(place.startswith("descriptor ") for place in found)
    # May end the instance: what follows must find nothing either way.
    seen(server, name, daemon=True)


def test_another_function_finds_nothing(server: Server, tmp_path: Path, name: str) -> None:
    """Also one with the very same code, which shares the sealed layer."""
    first, second = f"{name[:40]}-one", f"{name[:40]}-two"
    deploy(server, tmp_path, first)
    deploy(server, tmp_path, second)
    leave(server, first)
    for _ in range(3):
        assert seen(server, second)["seen"] == []


def test_another_version_finds_nothing(server: Server, tmp_path: Path, name: str) -> None:
    deploy(server, tmp_path, name)
    leave(server, name)
    deploy(server, tmp_path, name, version=2)
    assert seen(server, name) == {"seen": [], "own": None, "version": 2}


def test_other_vars_find_nothing(server: Server, tmp_path: Path, name: str) -> None:
    deploy(server, tmp_path, name)
    leave(server, name)
    server.cli("vars", "set", name, "OWN=new").ok()
    assert seen(server, name) == {"seen": [], "own": "new", "version": 1}


def test_a_version_rolled_back_to_finds_nothing(server: Server, tmp_path: Path, name: str) -> None:
    deploy(server, tmp_path, name)
    leave(server, name)
    deploy(server, tmp_path, name, version=2)
    leave(server, name)
    server.cli("rollback", name, "--to", "1").ok()
    assert seen(server, name) == {"seen": [], "own": None, "version": 1}


@pytest.mark.needs("cgroups")
@pytest.mark.parametrize("end", sorted(ENDS))
def test_after_a_bad_end_nothing_is_found(server: Server, tmp_path: Path, name: str, end: str) -> None:
    deploy(server, tmp_path, name)
    leave(server, name)
    reply = server.api.invoke(name, {"then": end})
    assert (reply.status, reply.json()["code"]) == ENDS[end]
    assert seen(server, name)["seen"] == []


def test_a_deleted_and_remade_function_finds_nothing(server: Server, tmp_path: Path, name: str) -> None:
    deploy(server, tmp_path, name)
    leave(server, name)
    server.cli("fn", "delete", name, "--yes").ok()
    deploy(server, tmp_path, name)
    assert seen(server, name)["seen"] == []


def test_no_start_inherits_from_another(server: Server, tmp_path: Path, name: str) -> None:
    """Many functions in turn, each leaving all it can: whatever prepares starts beforehand must not carry it on."""
    for number in range(12):
        each = f"{name[:40]}-{number}"
        deploy(server, tmp_path, each, version=number)
        assert seen(server, each, leave=True, daemon=True)["seen"] == [], (
            f"instance {number} found what an earlier one left"
        )
        if number % 3 == 2:
            server.api.invoke(each, {"then": sorted(ENDS)[number % len(ENDS)]})


def test_no_two_starts_draw_the_same_lots(server: Server, tmp_path: Path, name: str) -> None:
    """Whatever was prepared once for several instances must not hand each of them the same chance."""
    code = """
import os, random, secrets, ssl, tempfile, uuid

def handler():
    return {
        "random": random.random(), "generator": random.Random().random(), "system": os.urandom(8).hex(),
        "secrets": secrets.token_hex(8), "uuid": str(uuid.uuid4()), "ssl": ssl.RAND_bytes(8).hex(),
        "temporary": os.path.basename(tempfile.mktemp()),
    }
"""
    drawn = []
    for number in range(8):
        each = f"{name[:40]}-{number}"
        server.deploy(write_function(tmp_path, each, code))
        drawn.append(server.api.invoke(each).expect(200).json()["result"])
    for kind in drawn[0]:
        values = [lots[kind] for lots in drawn]
        assert len(set(values)) == len(values), f"{kind}: {values}"
