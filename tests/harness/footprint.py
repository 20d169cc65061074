"""What a server has on the machine: processes, cgroups and mounts. Nothing is ever found by a name.

A server is started with a unique marker in its environment and a data directory of a unique name. What belongs to it is
what descends from it, what carries the marker, and what has a layer of that directory mounted. All of it is remembered
by process id *and* start time, so a number that was given out again is not taken for a survivor.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, order=True)
class Process:
    """A process that cannot be mistaken for a later one of the same number."""

    pid: int
    started: int


@dataclass
class Footprint:
    """Everything that was ever seen of one server, over all its restarts.

    `cgroups` are the topmost directories that belong to it, `sandboxes` those that processes were in.
    """

    marker: str
    data: Path
    processes: set[Process] = field(default_factory=set)
    cgroups: set[Path] = field(default_factory=set)
    sandboxes: set[Path] = field(default_factory=set)
    _own: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._own = set(_cgroup_dirs(os.getpid()))

    def look(self, *roots: int) -> None:
        """Remembers what there is now. `roots` are the server's own process ids."""
        found = {pid for pid in _pids() if self._belongs(pid)} | set(_descendants(list(roots)))
        for pid in found:
            process = _identify(pid)
            if process is None:
                continue
            self.processes.add(process)
            for folder in _cgroup_dirs(pid):
                top = _topmost_of_ours(folder)
                if top is not None and folder not in self._own:
                    self.cgroups.add(top)
                    self.sandboxes.add(folder)

    def alive(self) -> list[str]:
        """What of it still runs, as lines to read. Looks again at the whole machine first."""
        self.look()
        left = [p for p in self.processes if _identify(p.pid) == p and not _is_zombie(p.pid)]
        return [f"{p.pid} {_cmdline(p.pid)}" for p in sorted(left)]

    def cgroups_left(self) -> list[str]:
        """Which of its cgroups still exist."""
        return sorted(str(path) for path in self.cgroups if path.exists())

    def orphans(self, *roots: int) -> list[str]:
        """What runs and belongs to this server, but does not descend from these processes."""
        wanted = set(_descendants(list(roots)))
        return [line for line in self.alive() if int(line.split()[0]) not in wanted]

    def mounts_left(self) -> list[str]:
        """Mounts in this process' view that show the data directory's content or lie below it."""
        name = str(self.data)
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if name in line]

    def leftovers(self) -> list[str]:
        """Everything that a stopped server must not leave."""
        return (
            [f"process {line}" for line in self.alive()]
            + [f"cgroup {path}" for path in self.cgroups_left()]
            + [f"mount {line}" for line in self.mounts_left()]
        )

    def _belongs(self, pid: int) -> bool:
        if pid == os.getpid():
            return False
        environ = _read(PROC / str(pid) / "environ")
        if self.marker.encode() in environ:
            return True
        return os.fsencode(self.data) in _read(PROC / str(pid) / "mountinfo") and not _shares_our_mounts(pid)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def _descendants(roots: list[int]) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid in _pids():
        fields = _stat(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, …"""
    text = _read(PROC / str(pid) / "stat").decode("latin-1")
    return text.rpartition(")")[2].split()


def _identify(pid: int) -> Process | None:
    fields = _stat(pid)
    return Process(pid, int(fields[19])) if len(fields) > 19 else None


def _is_zombie(pid: int) -> bool:
    fields = _stat(pid)
    return not fields or fields[0] in "ZX"


def _cmdline(pid: int) -> str:
    return _read(PROC / str(pid) / "cmdline").replace(b"\0", b" ").decode("utf-8", "replace")[:200]


def _shares_our_mounts(pid: int) -> bool:
    try:
        return os.readlink(PROC / str(pid) / "ns/mnt") == os.readlink("/proc/self/ns/mnt")
    except OSError:
        return True


def _cgroup_dirs(pid: int) -> list[Path]:
    """The process' directories in every mounted hierarchy."""
    folders = []
    for line in _read(PROC / str(pid) / "cgroup").decode("utf-8", "replace").splitlines():
        _, controllers, path = line.split(":", 2)
        for mount in _hierarchies(controllers):
            folders.append(mount / path.lstrip("/"))
    return folders


def _hierarchies(controllers: str) -> list[Path]:
    if controllers == "":
        return [p for p in (CGROUPS, CGROUPS / "unified") if (p / "cgroup.procs").exists()]
    name = controllers.removeprefix("name=")
    return [p for p in (CGROUPS / name, *(CGROUPS / part for part in name.split(","))) if p.is_dir()]


def _topmost_of_ours(folder: Path) -> Path | None:
    """The highest directory on the way whose name starts with `faas`."""
    below = folder.relative_to(CGROUPS) if folder.is_relative_to(CGROUPS) else None
    if below is None:
        return None
    path = CGROUPS
    for part in below.parts:
        path = path / part
        if part.startswith("faas"):
            return path
    return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
