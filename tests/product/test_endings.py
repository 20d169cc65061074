"""How instances end that are no longer needed: their code hears of it, and nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server, until, write_function

PYTHON = """
import atexit, signal, sys

def heard(number, _frame):
    print("python heard", number)
    sys.exit(0)

signal.signal(signal.SIGTERM, heard)
atexit.register(print, "python at exit")

def handler(event):
    return VERSION
"""
ASYNC = """
import asyncio, atexit, signal

async def put_away():
    await asyncio.sleep(0.05)
    print("async put away")

async def keep():
    try:
        await asyncio.sleep(3600)
    finally:
        print("async task ended")

async def handler(event):
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: loop.create_task(put_away()))
    atexit.register(print, "async at exit")
    asyncio.ensure_future(keep())
    return VERSION
"""
ASGI = """
async def handler(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                print("asgi shut down")
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(VERSION).encode()})
"""
NODE = """
process.on("SIGTERM", (signal) => {
  console.log("node heard", signal);
  setTimeout(() => console.log("node put away"), 50);
});
process.on("beforeExit", () => console.log("node before exit"));
process.on("exit", () => console.log("node at exit"));
export const handler = () => VERSION;
"""
UNHEARD = """
setInterval(() => undefined, 1000);
process.on("beforeExit", () => console.log("node before exit"));
process.on("exit", () => console.log("node at exit"));
export const handler = () => VERSION;
"""
THREADS = """
import atexit, threading, time
from concurrent.futures import ThreadPoolExecutor

POOL = ThreadPoolExecutor(2)
atexit.register(print, "threads at exit")
threading.Thread(target=time.sleep, args=(600,)).start()

def handler(event):
    return POOL.submit(lambda: VERSION).result()
"""
CASES = {
    "python": (PYTHON, ["python heard 15", "python at exit"]),
    "async": (ASYNC, ["async put away", "async task ended", "async at exit"]),
    "asgi": (ASGI, ["asgi shut down"]),
    "threads": (THREADS, ["threads at exit"]),
    "node": (NODE, ["node heard SIGTERM", "node put away", "node before exit", "node at exit"]),
    "unheard": (UNHEARD, ["node before exit", "node at exit"]),
}


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that lets nothing idle for long."""
    with Server(env={"FAAS_IDLE": "2s"}) as server:
        yield server


def deploy(server: Server, folder: Path, name: str, code: str, version: int) -> None:
    node = "process.on" in code
    text = f"const VERSION = {version};\n{code}" if node else f"{code}\nVERSION = {version}\n"
    files = {"index.mjs" if node else "main.py": text}
    runtime = "node" if node else "python"
    server.deploy(write_function(folder, name, files, runtime=runtime))


def lines(server: Server, name: str, wanted: list[str]) -> list[str]:
    page = server.http.get(f"/api/v1/functions/{name}/logs?limit=200").expect(200).json()
    return [line["message"] for line in page["items"] if line["message"] in wanted]


def written(server: Server, name: str, wanted: list[str]) -> None:
    """Waits for these lines, in this order, as the function's last."""
    until(lambda: lines(server, name, wanted)[-len(wanted) :] == wanted, f"{name} has written {wanted}", within=10)


@pytest.mark.needs("node")
@pytest.mark.parametrize("case", CASES)
def test_a_replaced_instance_runs_what_was_registered(server: Server, tmp_path: Path, name: str, case: str) -> None:
    code, wanted = CASES[case]
    deploy(server, tmp_path, name, code, 1)
    server.api.invoke(name).expect(200)
    assert lines(server, name, wanted) == []
    deploy(server, tmp_path, name, code, 2)
    written(server, name, wanted)


def test_an_idle_instance_runs_what_was_registered(brief: Server, tmp_path: Path, name: str) -> None:
    code, wanted = CASES["python"]
    deploy(brief, tmp_path, name, code, 1)
    brief.api.invoke(name).expect(200)
    written(brief, name, wanted)


@pytest.mark.needs("node")
def test_a_server_stops_cleanly_with_warm_instances(tmp_path: Path) -> None:
    """Everything that was registered has run, its lines are kept, and the log has nothing to warn of."""
    with Server() as server:
        for case, (code, _) in CASES.items():
            deploy(server, tmp_path, case, code, 1)
            server.api.invoke(case).expect(200)
        assert server.stop() == 0
        assert "WARN" not in server.log() and "ERROR" not in server.log(), server.log()
        server.start()
        for case, (_, wanted) in CASES.items():
            assert lines(server, case, wanted) == wanted


def test_an_instance_that_does_not_end_delays_nothing(server: Server, tmp_path: Path, name: str) -> None:
    stuck = """
import atexit, time
atexit.register(time.sleep, 600)

def handler(event):
    return VERSION
"""
    deploy(server, tmp_path, name, stuck, 1)
    server.api.invoke(name).expect(200)
    deploy(server, tmp_path, name, stuck, 2)
    begun = time.monotonic()
    assert server.api.invoke(name).expect(200).json() == 2
    assert time.monotonic() - begun < 1.5, "the call waited for the end of the old instance"
    until(lambda: server.metric("faas_instances_terminating") == 0, "the old instance was ended", within=30)
