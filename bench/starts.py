"""How long a program takes from its start to its end."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

from .surroundings import clean_env


@dataclass(frozen=True)
class Start:
    """A program that ends by itself."""

    command: list[str]


def started(start: Start) -> float:
    """Microseconds."""
    began = time.perf_counter_ns()
    subprocess.run(start.command, env=clean_env(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter_ns() - began) / 1000
