"""Load by wrk, and what it says."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from .plan import Plan
from .surroundings import clean_env

UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}


class WrongAnswerError(RuntimeError):
    """The target did not answer every request with 200: its figure would mean nothing."""


@dataclass(frozen=True)
class Throughput:
    """One run of wrk."""

    per_second: float
    p50_us: float
    p99_us: float


def load(url: str, headers: dict[str, str], connections: int, plan: Plan) -> Throughput:
    """Asks as fast as answers come, over so many connections that stay open."""
    threads = min(plan.threads, connections)
    command = ["wrk", "--latency", f"-t{threads}", f"-c{connections}", f"-d{plan.seconds}s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    done = subprocess.run([*command, url], env=clean_env(), capture_output=True, text=True, timeout=120, check=True)
    text = done.stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise WrongAnswerError(f"{url}: {text}")
    return Throughput(_number(text, r"Requests/sec:\s+([\d.]+)"), _latency(text, "50%"), _latency(text, "99%"))


def _number(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    if not found:
        raise WrongAnswerError(text)
    return float(found.group(1))


def _latency(text: str, row: str) -> float:
    found = re.search(rf"{row}\s+([\d.]+)(us|ms|s|m)\b", text)
    if not found:
        raise WrongAnswerError(text)
    return float(found.group(1)) * UNITS[found.group(2)]
