"""What a server holds on the machine, read from outside, and whether it grows."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, fields
from pathlib import Path

from harness import Server

PROC = Path("/proc")
# Entries of the data directory that grow by being used: files of the store, and what was deployed.
KEPT = ("faas.db", "logs.db", "blobs", "layers")


@dataclass(frozen=True)
class Sample:
    """One look. Memory is what the server and its spawner hold for themselves, not what they map from files."""

    at: float
    anonymous_kb: int
    files: int
    threads: int
    processes: int
    cgroups: int
    mounts: int
    leftovers: int

    @staticmethod
    def of(server: Server) -> Sample:
        """Looks now."""
        children = _children(server.pid)
        own = [server.pid, *children]
        below = [pid for child in children for pid in _descendants(child)]
        return Sample(
            time.monotonic(),
            sum(_anonymous_kb(pid) for pid in own),
            sum(_count(PROC / str(pid) / "fd") for pid in own),
            sum(_count(PROC / str(pid) / "task") for pid in own),
            len(own) + len(below),
            sum(1 for top in server.footprint.cgroups for _ in os.walk(top)),
            len(server.footprint.mounts_left()),
            _leftovers(server),
        )

    def above(self, base: Sample, slack: dict[str, int]) -> list[str]:
        """What is more than it was at `base`, memory and time apart."""
        found = []
        for field in fields(self):
            if field.name in ("at", "anonymous_kb"):
                continue
            was, now = getattr(base, field.name), getattr(self, field.name)
            if now > was + slack.get(field.name, 0):
                found.append(f"{field.name}: {was} at rest before, {now} at rest after")
        return found


def slope_kb_per_hour(samples: list[Sample]) -> float:
    """Least squares over the memory of the samples."""
    middle = sum(s.at for s in samples) / len(samples)
    mean = sum(s.anonymous_kb for s in samples) / len(samples)
    spread = sum((s.at - middle) ** 2 for s in samples)
    return 3600 * sum((s.at - middle) * (s.anonymous_kb - mean) for s in samples) / spread if spread else 0.0


def _leftovers(server: Server) -> int:
    """Files below the server's home and data directory that are neither state nor anything it was given."""
    found = 0
    for folder, folders, files in os.walk(server.data):
        if Path(folder) == server.data:
            folders[:] = [name for name in folders if name not in KEPT]
            files = [name for name in files if not name.startswith(KEPT)]
        found += len(files)
    return found + _count(server.temporary)


def _children(pid: int) -> list[int]:
    found = []
    for task in (PROC / str(pid) / "task").iterdir():
        try:
            found += [int(word) for word in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def _descendants(pid: int) -> list[int]:
    try:
        below = _children(pid)
    except OSError:
        return []
    return below + [deeper for child in below for deeper in _descendants(child)]


def _anonymous_kb(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)


def _count(folder: Path) -> int:
    try:
        return len(os.listdir(folder))
    except OSError:
        return 0
