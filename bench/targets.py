"""What takes load in the bench: each a running server with one URL, its isolation named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .ours import serving
from .running import running
from .surroundings import NPM, free_port, node, npm_binary

PLAIN = "none: a plain process of the user"
ISOLATE = "a V8 isolate in one process; by its own word no hardened sandbox"


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


def _uvicorn(app: str, workers: int) -> Callable[[int], list[str]]:
    quiet = ["--workers", str(workers), "--no-access-log", "--log-level", "warning"]
    base = [sys.executable, "-m", "uvicorn", app, *quiet, "--loop", "uvloop", "--http", "httptools"]
    return lambda port: [*base, "--host", "127.0.0.1", "--port", str(port)]


def _gunicorn(port: int) -> list[str]:
    pools = ["--workers", "2", "--worker-class", "gthread", "--threads", "4"]
    return [sys.executable, "-m", "gunicorn", "wsgi_app:app", *pools, "--bind", f"127.0.0.1:{port}"]


def _functions(port: int) -> list[str]:
    program = Path(sys.executable).parent / "functions-framework"
    return [str(program), "--source", "functions.py", "--target", "hello", "--host", "127.0.0.1", "--port", str(port)]


def _node(port: int) -> list[str]:
    return [node(), "node/http.mjs", str(port)]


def _functions_node(port: int) -> list[str]:
    program = NPM / "node_modules/.bin/functions-framework"
    return [node(), str(program), "--source=node", "--target=hello", "--host=127.0.0.1", f"--port={port}"]


def _workerd(port: int) -> list[str]:
    return [str(npm_binary("workerd")), "serve", "node/config.capnp", "--socket-addr", f"http=127.0.0.1:{port}"]


RAW = "uvicorn, raw ASGI, 1 worker"
FASTAPI_TWO = "uvicorn + FastAPI (async def), 2 workers"
FUNCTIONS = "functions-framework (Python)"
FUNCTIONS_NODE = "functions-framework (Node)"
NODE_HTTP = "node:http, 1 process"
PEERS: dict[str, tuple[Callable[[int], list[str]], str]] = {
    RAW: (_uvicorn("raw_asgi:app", 1), PLAIN),
    "uvicorn, raw ASGI, 2 workers": (_uvicorn("raw_asgi:app", 2), PLAIN),
    "uvicorn + FastAPI (async def), 1 worker": (_uvicorn("fastapi_app:app", 1), PLAIN),
    FASTAPI_TWO: (_uvicorn("fastapi_app:app", 2), PLAIN),
    "gunicorn, raw WSGI, 2 workers of 4 threads": (_gunicorn, PLAIN),
    FUNCTIONS: (_functions, PLAIN),
    NODE_HTTP: (_node, PLAIN),
    FUNCTIONS_NODE: (_functions_node, PLAIN),
    "workerd": (_workerd, ISOLATE),
}
PLAIN_HANDLER, NODE_HANDLER = "faas, Python handler", "faas, Node handler"
# Name of the row: app, more of its manifest, runtime.
OURS: dict[str, tuple[str, str, str | None]] = {
    PLAIN_HANDLER: ("ours", "", None),
    "faas, Python handler, at most 2 instances": ("ours", "[scaling]\nmax = 2\n", None),
    "faas, raw ASGI handler": ("ours_asgi", "", None),
    NODE_HANDLER: ("ours_node", "", "node"),
}


@contextmanager
def everything(only: str | None) -> Iterator[list[Target]]:
    """All servers at once; the load goes to one at a time, the others idle."""
    with ExitStack() as stack:
        ours = stack.enter_context(serving())
        targets = []
        for number, (name, (app, manifest, runtime)) in enumerate(OURS.items()):
            if _wanted(name, only):
                ours.deploy(app, f"warm-{number}", manifest, runtime)
                ours.cli("invoke", f"warm-{number}", "-d", "{}")
                level, key = ours.isolation(), {"X-API-Key": ours.key}
                targets.append(Target(name, ours.port, f"/fn/warm-{number}/", level, key, ours=True))
        for name, (command, isolation) in PEERS.items():
            if _wanted(name, only):
                port = free_port()
                stack.enter_context(running(command(port), port, "/"))
                targets.append(Target(name, port, "/", isolation))
        yield targets


def _wanted(name: str, only: str | None) -> bool:
    return not only or only.lower() in name.lower()
