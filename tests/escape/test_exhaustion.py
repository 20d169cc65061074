"""Using up what is shared: memory, processes, disk, output. The server and other functions must not notice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, write_function

NEIGHBOUR = "def handler(x: int):\n    return x + 1\n"


@pytest.fixture
def neighbour(server: Server, tmp_path: Path, name: str) -> Callable[[], None]:
    """Another function on the same server; calling it asserts that it still answers."""
    server.deploy(write_function(tmp_path, f"{name[:50]}-beside", NEIGHBOUR))

    def answers() -> None:
        reply = server.api.invoke(f"{name[:50]}-beside", {"x": 1}, timeout=30).expect(200)
        assert reply.json() == {"result": 2}

    answers()
    return answers


def deploy(server: Server, tmp_path: Path, name: str, code: str, **settings: object) -> str:
    server.deploy(write_function(tmp_path, name, code, **settings))
    return name


@pytest.mark.needs("cgroups")
def test_memory_bomb_is_told_apart_and_stays_inside(
    server: Server, tmp_path: Path, name: str, neighbour: Callable[[], None]
) -> None:
    code = (
        "def handler(event):\n    if event.get('grow'):\n        return len(bytearray(1 << 30))\n    return 'small'\n"
    )
    deploy(server, tmp_path, name, code)
    failed = server.api.invoke(name, {"grow": True})
    assert (failed.status, failed.json()["code"]) == (502, "FN_003")
    neighbour()
    assert server.api.invoke(name).expect(200).headers["x-cold-start"] == "true", "an instance lived on after FN_003"


@pytest.mark.needs("cgroups")
def test_fork_bomb_is_bounded(server: Server, tmp_path: Path, name: str, neighbour: Callable[[], None]) -> None:
    code = """
import os, signal

def handler(event):
    children = []
    try:
        for _ in range(5000):
            pid = os.fork()
            if pid == 0:
                signal.pause()
            children.append(pid)
    except OSError as error:
        return {"children": len(children), "errno": error.errno}
    return {"children": len(children), "errno": 0}
"""
    deploy(server, tmp_path, name, code)
    reply = server.api.invoke(name)
    # It is stopped by EAGAIN from the pids limit, or the memory limit ends it first.
    if reply.status == 200:
        assert reply.json()["errno"] == 11
        assert reply.json()["children"] < 256
    else:
        assert reply.json()["code"] in ("FN_003", "FN_004")
    neighbour()


def test_private_tmp_is_bounded(server: Server, tmp_path: Path, name: str, neighbour: Callable[[], None]) -> None:
    code = """
def handler(event):
    written = 0
    try:
        with open("/tmp/big", "wb") as big:
            while written < (2 << 30):
                written += big.write(bytes(1 << 20))
                big.flush()
    except OSError as error:
        return {"written": written, "errno": error.errno}
    return {"written": written, "errno": 0}
"""
    deploy(server, tmp_path, name, code, memory="512MB")
    answer = server.api.invoke(name).expect(200).json()
    assert answer["errno"] in (28, 122), "neither ENOSPC nor EDQUOT"
    assert answer["written"] <= 64 << 20
    neighbour()


FILES = """
def handler(event):
    opened = []
    try:
        for _ in range(100_000):
            opened.append(open("/dev/null"))
    except OSError as error:
        count, code = len(opened), error.errno
        opened.clear()
        return {"opened": count, "errno": code}
    return {"opened": len(opened), "errno": 0}
"""


def test_open_files_are_bounded(server: Server, tmp_path: Path, name: str) -> None:
    """By what the machine has: 64 sandboxes that open all they may do not fill its table."""
    deploy(server, tmp_path, name, FILES)
    answer = server.api.invoke(name).expect(200).json()
    assert answer["errno"] == 24
    table = int(Path("/proc/sys/fs/file-max").read_text(encoding="ascii"))
    assert answer["opened"] <= min(1024, max(256, table // 64 // 128))


@pytest.mark.needs("ordinary", "userns")
def test_open_files_of_an_ordinary_user_are_few(ordinary: Server, name: str) -> None:
    """Watches of epoll, which are counted for all together, follow from them."""
    deploy(ordinary, ordinary.home / "src", name, FILES)
    assert ordinary.api.invoke(name).expect(200).json()["opened"] <= 256


def test_a_gigabyte_of_output_is_cut_and_counted(
    server: Server, tmp_path: Path, name: str, neighbour: Callable[[], None]
) -> None:
    code = """
import os

def handler(event):
    line = b"x" * 1023 + b"\\n"
    block = line * 1024
    for _ in range(1024):
        os.write(1, block)
    return "written"
"""
    deploy(server, tmp_path, name, code, timeout="60s")
    reply = server.api.invoke(name, timeout=90)
    assert reply.status == 200, reply.body
    run = server.api.finished(reply.headers["x-run-id"])
    assert run["state"] == "succeeded"
    lines = server.http.get(f"/api/v1/runs/{run['id']}/logs?limit=200").expect(200).json()["items"]
    assert lines, "nothing of the output was kept"
    neighbour()
