"""What is measured: each a running server with one URL, its isolation named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from .surroundings import clean_env, free_port, interpreter

APPS = Path(__file__).parent / "apps"
READY_WITHIN_S = 120
PLAIN = "none: a plain process of the user"


@dataclass(frozen=True)
class Target:
    """One row of the table."""

    name: str
    port: int
    path: str
    isolation: str
    headers: dict[str, str] = field(default_factory=dict)
    ours: bool = False

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}{self.path}"


def wait_ready(port: int, path: str, process: subprocess.Popen[bytes], log: Path) -> float:
    """Seconds until the path answers with 200."""
    began = time.monotonic()
    while True:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return time.monotonic() - began
        except OSError:
            pass
        finally:
            connection.close()
        if process.poll() is not None or time.monotonic() - began > READY_WITHIN_S:
            raise RuntimeError(f"{process.args!r} did not become ready:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.002)


@contextmanager
def running(command: list[str], port: int, path: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        log = Path(place) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(command, cwd=APPS, env=clean_env(**env), stdout=out, stderr=out)
        try:
            wait_ready(port, path, process, log)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _uvicorn(app: str, workers: int) -> Callable[[int], list[str]]:
    base = [
        sys.executable,
        "-m",
        "uvicorn",
        app,
        "--workers",
        str(workers),
        "--no-access-log",
        "--log-level",
        "warning",
    ]
    return lambda port: [*base, "--loop", "uvloop", "--http", "httptools", "--host", "127.0.0.1", "--port", str(port)]


def _gunicorn(port: int) -> list[str]:
    pools = ["--workers", "2", "--worker-class", "gthread", "--threads", "4"]
    return [sys.executable, "-m", "gunicorn", "wsgi_app:app", *pools, "--bind", f"127.0.0.1:{port}"]


def _functions(port: int) -> list[str]:
    program = Path(sys.executable).parent / "functions-framework"
    return [str(program), "--source", "functions.py", "--target", "hello", "--host", "127.0.0.1", "--port", str(port)]


PEERS: dict[str, Callable[[int], list[str]]] = {
    "uvicorn, raw ASGI, 1 worker": _uvicorn("raw_asgi:app", 1),
    "uvicorn, raw ASGI, 2 workers": _uvicorn("raw_asgi:app", 2),
    "uvicorn + FastAPI (async def), 1 worker": _uvicorn("fastapi_app:app", 1),
    "uvicorn + FastAPI (async def), 2 workers": _uvicorn("fastapi_app:app", 2),
    "gunicorn, raw WSGI, 2 workers of 4 threads": _gunicorn,
    "functions-framework": _functions,
}


class Ours:
    """Our server, its data directory and key."""

    def __init__(self, binary: Path) -> None:
        self.binary, self.port = binary, free_port()
        self.place = Path(tempfile.mkdtemp(prefix="bench-faas-"))
        self.data = self.place / "data"
        self.env = {"XDG_CONFIG_HOME": str(self.place / "config")}

    def command(self) -> list[str]:
        """How it is started."""
        return [str(self.binary), "up", "--listen", f"127.0.0.1:{self.port}", "--data", str(self.data)]

    @property
    def key(self) -> str:
        """Its admin key."""
        return (self.data / "admin.key").read_text().strip()

    def cli(self, *words: str) -> str:
        """One command; its standard output."""
        env = clean_env(FAAS_ENDPOINT=f"http://127.0.0.1:{self.port}", FAAS_API_KEY=self.key, **self.env)
        done = subprocess.run([self.binary, *words], env=env, capture_output=True, text=True, timeout=180, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"faas {' '.join(words)}: {done.stderr}")
        return done.stdout

    def deploy(self, app: str, name: str, manifest: str = "", runtime: str = "") -> None:
        """Deploys one of the apps under a name of its own, for this Python unless another runtime is named."""
        folder = self.place / name
        shutil.copytree(APPS / app, folder)
        runtime = runtime or interpreter().name
        (folder / "faas.toml").write_text(f'name = "{name}"\nruntime = "{runtime}"\n{manifest}')
        self.cli("deploy", str(folder), "-o", "json")

    def isolation(self) -> str:
        """The level that its runs really had, from a run's record."""
        runs = json.loads(self.cli("runs", "list", "-o", "json"))["runs"]
        return f"level {runs[0]['isolation']}: {LEVELS[runs[0]['isolation']]}"

    def remove(self) -> None:
        """Removes its directory."""
        shutil.rmtree(self.place, ignore_errors=True)


LEVELS = {
    2: "own namespaces of all seven kinds, sealed root, seccomp, no capabilities, cgroup limits",
    1: "as level 2, but some cgroup limit is missing",
    0: "none",
}


@contextmanager
def everything(binary: Path, only: str | None) -> Iterator[tuple[Ours, list[Target]]]:
    """All servers at once; the load goes to one at a time, the others idle."""
    with ExitStack() as stack:
        ours = Ours(binary)
        stack.callback(ours.remove)
        stack.enter_context(running(ours.command(), ours.port, "/readyz", **ours.env))
        ours.deploy("ours", "warm")
        ours.deploy("ours", "warm-two", "[scaling]\nmax = 2\n")
        ours.deploy("ours_asgi", "warm-asgi")
        ours.cli("invoke", "warm", "-d", "{}")
        level, key = ours.isolation(), {"X-API-Key": ours.key}
        rows = {
            "faas, plain handler": "/fn/warm/",
            "faas, plain handler, at most 2 instances": "/fn/warm-two/",
            "faas, raw ASGI handler": "/fn/warm-asgi/",
        }
        targets = [Target(name, ours.port, path, level, key, ours=True) for name, path in rows.items()]
        for name, command in PEERS.items():
            port = free_port()
            stack.enter_context(running(command(port), port, "/"))
            targets.append(Target(name, port, "/", PLAIN))
        yield ours, [target for target in targets if not only or only in target.name]


def binary_from_env() -> Path:
    """The release build, as `scripts/bench` made it."""
    return Path(os.environ["FAAS_BIN"]).resolve()
