"""The machine, and the environment that every program gets."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import sysconfig
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
# Where `scripts/setup bench` puts the peers from npm.
NPM = TARGET / "bench-npm"
REDIS = TARGET / "tools/bin/redis-server"
# Proxies and certificate settings of the caller's shell slow programs down or change what they do.
KEPT = ("PATH", "LANG", "HOME")
PYTHON_PEERS = (
    *("uvicorn", "uvloop", "httptools", "fastapi", "gunicorn", "functions-framework"),
    *("arq", "rq", "celery", "dramatiq", "redis"),
)

PROGRAMS = ("crun", "bwrap", "slirp4netns", "pasta")


def clean_env(**more: str) -> dict[str, str]:
    """What every measured program runs with."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | more


def interpreter() -> Path:
    """The real interpreter behind this virtual environment."""
    name = f"python{sysconfig.get_python_version()}"
    return (Path(sys.base_prefix) / "bin" / name).resolve()


def node() -> str:
    """The Node that functions of ours find first, too."""
    found = shutil.which("node")
    if not found:
        raise FileNotFoundError("no node on PATH: install Node 18 or newer")
    return str(Path(found).resolve())


def deno() -> Path | None:
    """The Deno that `scripts/setup bench` has fetched, which functions of ours run on too."""
    found = TARGET / "tools/deno/2/bin/deno"
    return found if found.is_file() else None


def npm_binary(package: str) -> Path:
    """The native program of a package from npm."""
    found = sorted((NPM / "node_modules/@cloudflare").glob(f"{package}-linux-*/bin/{package}"))
    if not found:
        raise FileNotFoundError(f"{package} is not installed: run `scripts/setup bench`")
    return found[0]


def describe() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    peers = [f"{name} {version(name)}" for name in PYTHON_PEERS]
    locked = json.loads((ROOT / "bench/npm/package.json").read_text())["dependencies"]
    peers += [f"{name} {number}" for name, number in locked.items()]
    peers += [line for line in (_says(program, "--version") for program in PROGRAMS) if line]
    peers += [line.partition(" sha=")[0] for line in [_says(str(REDIS), "--version")] if line]
    return {
        "when": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{os.cpu_count()} × {cpu[0].partition(':')[2].strip() if cpu else platform.machine()}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "node": _says(node(), "--version") if shutil.which("node") else "none",
        "deno": _says(str(deno()), "--version").partition(" (")[0] if deno() else "none",
        "load_before": f"{os.getloadavg()[0]:.2f}",
        "peers": ", ".join(peers),
    }


def _says(program: str, *words: str) -> str:
    if not shutil.which(program):
        return ""
    done = subprocess.run([program, *words], env=clean_env(), capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.partition("\n")[0].strip().replace(" version ", " ")


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(f"==> {text}", file=sys.stderr, flush=True)
