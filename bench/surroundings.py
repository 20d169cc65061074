"""The machine, and the environment that every program gets."""

from __future__ import annotations

import os
import platform
import socket
import sys
import sysconfig
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

# Proxies and certificate settings of the caller's shell slow programs down or change what they do.
KEPT = ("PATH", "LANG", "HOME")


def clean_env(**more: str) -> dict[str, str]:
    """What every measured program runs with."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | more


def interpreter() -> Path:
    """The real interpreter behind this virtual environment."""
    name = f"python{sysconfig.get_python_version()}"
    return (Path(sys.base_prefix) / "bin" / name).resolve()


def describe() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    peers = ("uvicorn", "uvloop", "httptools", "fastapi", "gunicorn", "functions-framework")
    return {
        "when": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{os.cpu_count()} × {cpu[0].partition(':')[2].strip() if cpu else platform.machine()}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": f"{os.getloadavg()[0]:.2f}",
        "peers": ", ".join(f"{name} {version(name)}" for name in peers),
    }


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
