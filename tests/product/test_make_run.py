"""`make run`, the first thing a newcomer types."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Footprint, free_port, until
from harness.paths import ROOT

WITHIN_S = 300


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def made(port: int, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    env = os.environ | {"FAAS_PORT": str(port), "RUN_DIR": str(tmp_path / "run"), "TEST_SERVER_MARK": str(tmp_path)}
    env["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(
            ["make", "run"], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_it_answers_and_cleans_up(made: subprocess.Popen[str], port: int, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def done() -> bool:
        assert made.poll() is None, f"make run ended\n{out.read_text()}"
        return "Ctrl-C stops the server" in out.read_text()

    until(done, "the greeting is printed", within=WITHIN_S, every=0.2)
    said = out.read_text()
    assert '\n{"result": 15}\n' in said, said
    assert f"http://127.0.0.1:{port}/fn/hello" in said
    footprint = Footprint(str(tmp_path), tmp_path / "run" / "data")
    footprint.look(made.pid)
    assert len(footprint.processes) > 1
    # Ctrl-C goes to everything in the terminal's foreground.
    os.killpg(made.pid, signal.SIGINT)
    until(lambda: made.poll() is not None, "it ends", within=45)
    until(lambda: footprint.leftovers() == [], "nothing is left", within=10)


def test_a_port_in_use_is_said_at_once(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        env = os.environ | {"FAAS_PORT": str(port)}
        done = subprocess.run(
            ["make", "run"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=False
        )
    assert done.returncode != 0
    assert f"port {port} is in use" in done.stderr
    assert "FAAS_PORT" in done.stderr
