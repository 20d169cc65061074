"""What an attempt could reach on the host if the boundary had a hole, and whether it was reached."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import Server

IPC_CREAT, IPC_RMID = 0o1000, 0
KINDS = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
# Sleeps until it is ended; the word is only there to be found in its command line.
SLEEPER = "import signal, sys; signal.pause()"


@dataclass
class Decoys:
    """The host's bait."""

    word: str
    process: subprocess.Popen[bytes]
    tcp: socket.socket
    udp: socket.socket
    abstract: str
    shm_key: int

    def event(self, server: Server) -> dict[str, object]:
        """What an attempt is told. It knows every name; only the boundary keeps it out."""
        return {
            "data": str(server.data),
            "home": str(server.home),
            "key": server.key,
            "marker": server.marker,
            "port": server.port,
            "decoy_word": self.word,
            "decoy_pid": self.process.pid,
            "decoy_tcp": self.tcp.getsockname()[1],
            "decoy_udp": self.udp.getsockname()[1],
            "decoy_abstract": self.abstract,
            "decoy_shm": self.shm_key,
            "namespaces": {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS},
        }

    def reached(self) -> list[str]:
        """What somebody touched."""
        found = []
        if self.process.poll() is not None:
            found.append("the decoy process was killed")
        for name, listener, receive in (
            ("a connection came", self.tcp, lambda s: s.accept()),
            ("a datagram came", self.udp, lambda s: s.recv(64)),
        ):
            with contextlib.suppress(BlockingIOError):
                receive(listener)
                found.append(name)
        return found


@contextlib.contextmanager
def decoys() -> Iterator[Decoys]:
    """Lays the bait and clears it away."""
    libc = ctypes.CDLL(None, use_errno=True)
    word = f"decoy-{secrets.token_hex(8)}"
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", SLEEPER, word])
    tcp, udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    abstract = socket.socket(socket.AF_UNIX)
    shm_file = Path("/dev/shm") / word
    shm_key = secrets.randbelow(1 << 30) + 1
    shm_id = libc.shmget(shm_key, 4096, IPC_CREAT | 0o666)
    try:
        for one in (tcp, udp):
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
        tcp.listen()
        abstract.bind(f"\0{word}")
        abstract.listen()
        shm_file.write_text(word, encoding="ascii")
        yield Decoys(word, process, tcp, udp, word, shm_key)
    finally:
        process.kill()
        process.wait()
        for one in (tcp, udp, abstract):
            one.close()
        shm_file.unlink(missing_ok=True)
        libc.shmctl(shm_id, IPC_RMID, None)
