"""What an attempt could reach on the host if the boundary had a hole, and whether it was reached."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import Server

IPC_CREAT, IPC_RMID = 0o1000, 0
SIOCGIFADDR = 0x8915
KINDS = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
# Sleeps until it is ended; the word is only there to be found in its command line.
SLEEPER = "import signal, sys; signal.pause()"
# Settings of the machine that an attempt would change if it could.
SETTINGS = ("kernel/core_pattern", "kernel/modprobe", "kernel/hostname", "kernel/domainname", "vm/overcommit_memory")


@dataclass
class Decoys:
    """The host's bait."""

    word: str
    process: subprocess.Popen[bytes]
    tcp: socket.socket
    udp: socket.socket
    abstract: str
    ipc_key: int
    sentinel: Path
    settings: dict[str, str]

    def event(self, server: Server, *, has_network: bool = False) -> dict[str, object]:
        """What an attempt is told. It knows every name; only the boundary keeps it out."""
        return {
            "has_network": has_network,
            "host_addresses": host_addresses(),
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
            "decoy_shm": self.ipc_key,
            "sentinel": str(self.sentinel),
            "host_name": socket.gethostname(),
            "core_hard": resource.getrlimit(resource.RLIMIT_CORE)[1],
            "namespaces": {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS},
        }

    def reached(self) -> list[str]:
        """What somebody touched."""
        found = []
        if self.process.poll() is not None:
            found.append("the decoy process was killed")
        elif _state(self.process.pid) not in "SR":
            found.append(f"the decoy process is in state {_state(self.process.pid)}")
        for name, listener, receive in (
            ("a connection came", self.tcp, lambda s: s.accept()),
            ("a datagram came", self.udp, lambda s: s.recv(64)),
        ):
            with contextlib.suppress(BlockingIOError):
                receive(listener)
                found.append(name)
        if sorted(os.listdir(self.sentinel.parent)) != [self.sentinel.name] or self.sentinel.read_text() != self.word:
            found.append("the sentinel's directory was changed")
        if (now := _settings()) != self.settings:
            found.append(f"the machine's settings were changed: {now}")
        return found


def host_addresses() -> list[str]:
    """The addresses of this machine's interfaces, but for loopback."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                place = fcntl.ioctl(asking, SIOCGIFADDR, name.encode().ljust(40, b"\0"))
                found.append(socket.inet_ntoa(place[20:24]))
    return [address for address in found if not address.startswith("127.")]


@contextlib.contextmanager
def decoys() -> Iterator[Decoys]:
    """Lays the bait and clears it away."""
    word = f"decoy-{secrets.token_hex(8)}"
    ipc_key = secrets.randbelow(1 << 30) + 1
    with contextlib.ExitStack() as stack:
        process = subprocess.Popen([sys.executable, "-I", "-S", "-c", SLEEPER, word])
        stack.callback(lambda: (process.kill(), process.wait()))
        tcp, udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        abstract = socket.socket(socket.AF_UNIX)
        for one in (tcp, udp, abstract):
            stack.callback(one.close)
        for one in (tcp, udp):
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
        tcp.listen()
        abstract.bind(f"\0{word}")
        abstract.listen()
        shm_file = Path("/dev/shm") / word
        stack.callback(lambda: shm_file.unlink(missing_ok=True))
        shm_file.write_text(word, encoding="ascii")
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faas-decoy-")))
        place.chmod(0o777)
        sentinel = place / "sentinel"
        sentinel.write_text(word, encoding="ascii")
        sentinel.chmod(0o666)
        _lay_ipc(stack, word, ipc_key)
        yield Decoys(word, process, tcp, udp, word, ipc_key, sentinel, _settings())


def _lay_ipc(stack: contextlib.ExitStack, word: str, key: int) -> None:
    """A shared segment, a queue and a semaphore by key; a POSIX queue by name. Everybody may use them."""
    libc = ctypes.CDLL(None, use_errno=True)
    shm, queue = libc.shmget(key, 4096, IPC_CREAT | 0o666), libc.msgget(key, IPC_CREAT | 0o666)
    semaphore = libc.semget(key, 1, IPC_CREAT | 0o666)
    stack.callback(lambda: libc.shmctl(shm, IPC_RMID, None))
    stack.callback(lambda: libc.msgctl(queue, IPC_RMID, None))
    stack.callback(lambda: libc.semctl(semaphore, 0, IPC_RMID))
    name = f"/{word}".encode()
    # Kernels without POSIX queues answer -1; the other three are bait enough.
    libc.mq_open(name, os.O_CREAT | os.O_RDWR, 0o666, None)
    stack.callback(lambda: libc.mq_unlink(name))


def _settings() -> dict[str, str]:
    found = {}
    for name in SETTINGS:
        with contextlib.suppress(OSError):
            found[name] = Path("/proc/sys", name).read_text(encoding="utf-8").strip()
    return found


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()[0]
