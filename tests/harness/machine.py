"""What this machine can do, found by trying. Tests that need more are left out and named in the summary."""

from __future__ import annotations

import ctypes
import os
import subprocess
from dataclasses import dataclass
from functools import cached_property

from .paths import DENO, TARGET, binary, program
from .programs import NGINX, POSTGRES, REDIS, installed

# An ordinary uid that needs no entry in /etc/passwd.
ORDINARY_UID = 47_113


@dataclass(frozen=True)
class Lack:
    """Something that is not to be had here."""

    need: str
    why: str


class Machine:
    """Answers each question once."""

    @cached_property
    def root(self) -> bool:
        """Whether the tests run as root with the rights to mount."""
        return os.geteuid() == 0 and self._mounts()

    @cached_property
    def userns(self) -> bool:
        """Whether an ordinary user may open a user namespace."""
        command = ["unshare", "--user", "--map-root-user", "true"]
        if os.geteuid() == 0:
            command = [*as_ordinary_user(), *command]
        return _succeeds(command)

    @cached_property
    def ordinary(self) -> bool:
        """Whether a program can be run as an ordinary user."""
        return os.geteuid() != 0 or _succeeds([*as_ordinary_user(), "true"])

    @cached_property
    def cgroups(self) -> bool:
        """Whether the process may make a cgroup with a memory controller."""
        places = ["/sys/fs/cgroup/memory"]
        try:
            with open("/sys/fs/cgroup/cgroup.controllers", encoding="ascii") as controllers:
                if "memory" in controllers.read().split():
                    places.append("/sys/fs/cgroup")
        except OSError:
            pass
        return any(os.access(place, os.W_OK) for place in places)

    @cached_property
    def promtool(self) -> bool:
        """Whether Prometheus' checker is installed."""
        return program("promtool") is not None

    @cached_property
    def schemathesis(self) -> bool:
        """Whether the API fuzzer is installed."""
        return program("schemathesis") is not None

    @cached_property
    def callgrind(self) -> bool:
        """Whether instructions can be counted."""
        return program("valgrind") is not None and program("callgrind_control") is not None

    @cached_property
    def development_build(self) -> bool:
        """Whether the program under test is the one of `make build`, and not of another profile."""
        return binary().parent.name == "debug"

    @cached_property
    def npm(self) -> bool:
        """Whether packages for Node can be installed."""
        return program("npm") is not None and program("node") is not None

    @cached_property
    def node(self) -> bool:
        """Whether functions for Node can run."""
        return program("node") is not None

    @cached_property
    def deno(self) -> bool:
        """Whether functions for Deno can run."""
        return DENO.is_file()

    @cached_property
    def tun(self) -> bool:
        """Whether network devices can be made."""
        return os.access("/dev/net/tun", os.R_OK | os.W_OK)

    @cached_property
    def servers(self) -> bool:
        """Whether PostgreSQL, Redis and nginx can be run."""
        return all(map(installed, (POSTGRES, REDIS, NGINX)))

    @cached_property
    def clients(self) -> bool:
        """Whether the packages of `tests/clients` are here."""
        return (TARGET / "tools/clients/.wanted").is_file()

    @cached_property
    def generators(self) -> bool:
        """Whether the generators of `tests/openapi` are here."""
        return (TARGET / "tools/openapi/.wanted").is_file()

    @cached_property
    def cargo(self) -> bool:
        """Whether Rust programs can be built."""
        return program("cargo") is not None

    @cached_property
    def power_cuts(self) -> bool:
        """Whether an ext4 file system can be made in a file, mounted and shut down without a flush."""
        from .disk import PowerCutDisk

        try:
            with PowerCutDisk(megabytes=32) as disk:
                disk.cut()
        except (OSError, subprocess.SubprocessError):
            return False
        return True

    def lacks(self, needs: list[str]) -> list[Lack]:
        """Which of these needs are not met."""
        return [Lack(need, REASONS[need]) for need in needs if not getattr(self, need)]

    def _mounts(self) -> bool:
        libc = ctypes.CDLL(None, use_errno=True)
        pid = os.fork()
        if pid == 0:
            os._exit(0 if libc.unshare(0x0002_0000) == 0 else 1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


REASONS = {
    "root": "the tests do not run as root",
    "userns": "ordinary users may not open user namespaces (kernel.unprivileged_userns_clone or AppArmor)",
    "ordinary": "no program can be run as an ordinary user",
    "cgroups": "no writable cgroup with a memory controller",
    "power_cuts": "no loop device, no mkfs.ext4 or no EXT4_IOC_SHUTDOWN: power cuts cannot be made here",
    "promtool": "promtool is not installed (Debian package prometheus)",
    "schemathesis": "schemathesis is not installed (PyPI)",
    "callgrind": "valgrind is not installed (Debian package valgrind)",
    "development_build": "the program under test is of another profile than the development build",
    "tun": "/dev/net/tun cannot be opened: no network devices can be made",
    "servers": "PostgreSQL, Redis and nginx are not here: `scripts/setup test` fetches them from Debian's packages",
    "clients": "the packages of tests/clients are not here: `scripts/setup test` fetches them",
    "generators": "the generators of tests/openapi are not here: `scripts/setup test` installs them",
    "cargo": "cargo is not installed",
    "node": "node is not installed",
    "deno": "Deno is not here: `scripts/setup test` fetches it from npm",
    "npm": "npm and node are not installed",
}

MACHINE = Machine()


def as_ordinary_user(uid: int = ORDINARY_UID) -> list[str]:
    """What to put before a command so that root runs it as an ordinary user."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all"]


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
