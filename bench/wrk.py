"""Load by wrk, and what it says."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .plan import Plan
from .probe import Latency
from .surroundings import clean_env

SCRIPT = Path(__file__).parent / "wrk.lua"


class WrongAnswerError(RuntimeError):
    """The target did not answer every request with 200: its figure would mean nothing."""


@dataclass(frozen=True)
class Throughput:
    """One run of wrk, or the medians of several."""

    per_second: float
    latency: Latency
    p999_us: float


def load(url: str, headers: dict[str, str], connections: int, plan: Plan) -> Throughput:
    """Asks as fast as answers come, over so many connections that stay open."""
    threads = min(plan.threads, connections)
    command = ["wrk", "-s", str(SCRIPT), f"-t{threads}", f"-c{connections}", f"-d{plan.seconds}s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    done = subprocess.run([*command, url], env=clean_env(), capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"^FIGURES (\S+) (\S+) (\S+) (\S+) (\S+) (\d+)$", done.stdout, re.M)
    if not found or found.group(6) != "0":
        raise WrongAnswerError(f"{url}: {done.stdout}")
    rate, p50, p95, p99, p999 = (float(found.group(number)) for number in range(1, 6))
    return Throughput(rate, Latency(p50, p95, p99), p999)
