"""The functions of the soak: good ones of every contract, and one that ends in every bad way."""

from __future__ import annotations

from pathlib import Path
from shutil import which

from harness import Server, write_function

ADD = "def handler(x: int):\n    return x + 1\n"
ECHO = "def handler(event, context):\n    return context.request.body\n"
ASGI = """
import asyncio

async def handler(scope, receive, send):
    if scope["type"] != "http":
        return
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    await asyncio.sleep(0.001)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    parts = int(scope["query_string"] or b"1")
    for part in range(parts):
        body = b"%d;" % size if parts == 1 else b"x" * 16384
        await send({"type": "http.response.body", "body": body, "more_body": part + 1 < parts})
        await asyncio.sleep(0)
"""
NODE = "export const handler = async (event) => ({ result: event.x + 1 });\n"
BAD = """
import os, time

def handler(event):
    how = event["how"]
    if how == "raise":
        raise ValueError("as asked")
    if how == "crash":
        os.abort()
    if how == "exit":
        os._exit(3)
    if how == "grow":
        return len(bytearray(2 << 30))
    if how == "daemon":
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
    if how in ("daemon", "sleep"):
        time.sleep(600)
    return how
"""
SLEEPY = "import time\n\ndef handler(seconds: float):\n    time.sleep(seconds)\n    return 'slept'\n"
# How a bad call ends: status and code of the catalogue.
ENDS = {
    "raise": (502, "FN_004"),
    "crash": (502, "FN_004"),
    "exit": (502, "FN_004"),
    "grow": (502, "FN_003"),
    "sleep": (504, "FN_002"),
    "daemon": (504, "FN_002"),
}


def deploy_all(server: Server) -> None:
    """Deploys everything that the soak calls."""
    folder = server.home / "src"
    several = {"min": 0, "max": 3}
    for name, code, settings in (
        ("add", ADD, {"scaling": several}),
        ("echo", ECHO, {"scaling": several, "memory": "256MB"}),
        ("asgi", ASGI, {"scaling": several}),
        ("rare", ADD, {}),
        ("sleepy", SLEEPY, {"scaling": several}),
        ("bad", BAD, {"scaling": several, "timeout": "1s"}),
        ("hungry", BAD, {}),
    ):
        server.deploy(write_function(folder, name, code, **settings))
    if has_node():
        server.deploy(write_function(folder, "node", {"index.mjs": NODE}, runtime="node", scaling=several))


def has_node() -> bool:
    """Whether a Node can be found here at all."""
    return which("node") is not None


def churn(folder: Path, number: int) -> Path:
    """A function that was never there before."""
    return write_function(folder, f"churn-{number}", f"def handler():\n    return {number}\n")
