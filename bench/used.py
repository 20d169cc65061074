"""Processor time and memory of a server and of what it has started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Used:
    """Microseconds of processor time so far: of the server itself, and of each process below it that lives."""

    server: float
    below: dict[int, float]

    @staticmethod
    def by(server: int) -> Used:
        """As the kernel counts it, threads that have ended included."""
        return Used(
            _cpu_us(server) or 0.0, {pid: cpu for pid in descendants(server) if (cpu := _cpu_us(pid)) is not None}
        )

    def since(self, before: Used) -> tuple[float, float]:
        """The server's and the functions' time since then. Of processes that have ended meanwhile nothing is known."""
        functions = sum(cpu - before.below.get(pid, 0.0) for pid, cpu in self.below.items())
        return self.server - before.server, functions


def descendants(root: int) -> list[int]:
    """Every process below this one."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                born = [int(child) for child in children.read_text().split()]
            except OSError:
                continue
            found += born
            todo += born
    return found


def _cpu_us(pid: int) -> float | None:
    try:
        # The name in parentheses may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) * TICK_US


def wake_ups(pid: int) -> int:
    """How often the threads of a process have gone to sleep so far."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        try:
            lines = status.read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return total
