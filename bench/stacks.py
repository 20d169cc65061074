"""Stacks that give a program its network: ours, others, and none. Each has the same program and the same far end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from .ours import serving
from .running import APPS
from .surroundings import ROOT, clean_env, interpreter

MTU = "65520"
PROGRAM = [str(interpreter()), "-I", str(APPS / "network/main.py")]
OURS, SLIRP, PASTA, HOST = "faas", "slirp4netns", "pasta", "no sandbox, loopback"
# How a namespace of pasta's is addressed; its gateway leads to the host's loopback interface, as slirp4netns' does.
PASTA_OWN, PASTA_GATEWAY = "10.77.0.2", "10.77.0.1"
MANIFEST = """
network = "egress"
timeout = "5m"
memory = "512MB"
cpu = {cores}
"""
# One program connects as fast as it can, which is what the limits are there to forbid.
EGRESS = dict.fromkeys(("CONNECT_RATE", "PROJECT_CONNECT_RATE", "CONNECTIONS", "PROJECT_CONNECTIONS"), "100000")
PATIENCE_S = 300


class StackError(RuntimeError):
    """A program did not get through its network what it should."""


# Does one thing of the program's: its name, and how much of it.
Ask = Callable[[str, int], Any]


@contextlib.contextmanager
def far_end() -> Iterator[int]:
    """Its port, for as long as it is needed."""
    command = [sys.executable, "-m", "bench.far_end"]
    running = subprocess.Popen(
        command, cwd=ROOT, env=clean_env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None
        yield int(running.stdout.readline())
    finally:
        running.kill()
        running.wait()


@contextlib.contextmanager
def program(*before: str) -> Iterator[subprocess.Popen[str]]:
    """The program, started by another one that gives it its network."""
    command = [*before, *PROGRAM]
    running = subprocess.Popen(
        command, env=clean_env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def asking(running: subprocess.Popen[str], host: str, port: int) -> Ask:
    """Asks a program line by line."""

    def ask(work: str, count: int) -> Any:
        assert running.stdin is not None and running.stdout is not None
        running.stdin.write(json.dumps({"work": work, "host": host, "port": port, "count": count}) + "\n")
        running.stdin.flush()
        line = running.stdout.readline()
        answer = json.loads(line) if line else {"failed": "the program has ended"}
        if "failed" in answer:
            raise StackError(f"{work}: {answer['failed']}")
        return answer["result"]

    return ask


@contextlib.contextmanager
def on_host(port: int) -> Iterator[Ask]:
    """Without any sandbox."""
    with program() as running:
        yield asking(running, "127.0.0.1", port)


@contextlib.contextmanager
def in_slirp(port: int) -> Iterator[Ask]:
    """In a network namespace that slirp4netns serves."""
    with program("unshare", "--map-root-user", "--net") as running:
        own = f"/proc/{running.pid}/ns/net"
        deadline = time.monotonic() + 10
        while namespace(own) == namespace("/proc/self/ns/net") and time.monotonic() < deadline:
            time.sleep(0.01)
        command = [SLIRP, "--configure", f"--mtu={MTU}", "--ready-fd=1", str(running.pid), "tap0"]
        stack = subprocess.Popen(command, env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            assert stack.stdout is not None
            if stack.stdout.read(1) != b"1":
                raise StackError("slirp4netns does not start")
            yield asking(running, "10.0.2.2", port)
        finally:
            stack.kill()
            stack.wait()


@contextlib.contextmanager
def in_pasta(port: int) -> Iterator[Ask]:
    """In the namespaces that pasta makes for a program."""
    as_root = ["--runas", "0"] if os.geteuid() == 0 else []
    addresses = ["-a", PASTA_OWN, "-n", "24", "-g", PASTA_GATEWAY]
    with program(PASTA, *as_root, "--config-net", "--mtu", MTU, *addresses, "--") as running:
        yield asking(running, PASTA_GATEWAY, port)


def namespace(path: str) -> str:
    """Which one it is; nothing while it is not there."""
    with contextlib.suppress(OSError):
        return os.readlink(path)
    return ""


@contextlib.contextmanager
def in_ours(host: str, port: int) -> Iterator[tuple[Ask, Ask]]:
    """Two functions, each with a sandbox of its own; both are carried by one process."""
    env = {f"FAAS_EGRESS_{name}": value for name, value in EGRESS.items()}
    with serving(FAAS_EGRESS_PRIVATE=host, **env) as ours:
        asks = []
        for name in ("one", "other"):
            ours.deploy("network", name, MANIFEST.format(cores=os.cpu_count()))
            asks.append(calling(f"http://127.0.0.1:{ours.port}/fn/{name}", ours.key, host, port))
        yield asks[0], asks[1]


def calling(url: str, key: str, host: str, port: int) -> Ask:
    """Asks a function."""

    def ask(work: str, count: int) -> Any:
        body = json.dumps({"work": work, "host": host, "port": port, "count": count}).encode()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE_S) as reply:
            return json.load(reply)["result"]

    return ask


def outside() -> str:
    """An address of this machine's that is not the loopback interface's: for a function that one is its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent.
        probe.connect(("198.51.100.1", 9))
        return str(probe.getsockname()[0])


@contextlib.contextmanager
def twice(maker: Callable[[int], contextlib.AbstractContextManager[Ask]], port: int) -> Iterator[tuple[Ask, Ask]]:
    """Two programs, each with a stack of its own."""
    with maker(port) as one, maker(port) as other:
        yield one, other


def pair(name: str, port: int) -> contextlib.AbstractContextManager[tuple[Ask, Ask]]:
    """Two programs with this stack."""
    makers: dict[str, Callable[[int], contextlib.AbstractContextManager[Ask]]] = {
        SLIRP: in_slirp,
        PASTA: in_pasta,
        HOST: on_host,
    }
    return in_ours(outside(), port) if name == OURS else twice(makers[name], port)
