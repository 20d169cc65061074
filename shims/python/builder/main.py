"""Installs a function's packages inside a sandbox of its own, and hands the tree over.

The server's `faas_proto::build` is the source of truth for what is said on descriptor 3. Packages run code of their own
while they are installed: it may do to this program whatever it likes, and the server trusts nothing that is sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from urllib.parse import urlsplit

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from job import Job, index_of  # noqa: E402
from link import DONE, FAILED, JOB, LOG, Link, Refused  # noqa: E402
from pip_job import PipJob  # noqa: E402
from proxy import Proxy  # noqa: E402
from tree import send_tree  # noqa: E402
from uv_job import UV, UvJob  # noqa: E402

LINE_MAX = 2_000
READ_LEN = 64 << 10


class Failure(Exception):
    """The job cannot be done; the text says why."""


async def run(link: Link) -> None:
    """Does the one job of this program."""
    kind, _, payload = await link.receive()
    if kind != JOB:
        raise Failure("there is no job")
    job: Job = (UvJob if os.path.exists(UV) else PipJob)(json.loads(payload))
    reading = asyncio.ensure_future(link.serve())
    proxy = Proxy(link)
    port = await proxy.start()
    job.prepare(job.own_indexes() | await unreachable(link, job.foreign_indexes()))
    try:
        await command(link, job.command(port), job.environment(port), job.name)
    except OSError as error:
        raise Failure(f"{job.name} cannot be run here: {error}") from error
    job.clean()
    try:
        await command(link, job.compile(), {"PATH": "/usr/bin"}, "compiling")
    except Failure as failure:
        # Packages work without it as well, only slower.
        await link.send(LOG, 0, str(failure).encode(errors="replace"))
    packages = job.packages()
    await send_tree(link, job.tree)
    await link.send(DONE, 0, json.dumps({"packages": packages}).encode())
    reading.cancel()


async def unreachable(link: Link, lines: list[str]) -> set[str]:
    """Those of a lock's own indexes that the operator does not allow: what they have may be elsewhere too."""
    refused = set()
    for line in lines:
        url = urlsplit(index_of(line))
        try:
            tunnel = await link.open(url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
            await tunnel.close()
        except Refused:
            refused.add(line)
    return refused


async def command(link: Link, argv: list[str], env: dict[str, str], name: str) -> None:
    """Runs a program to its end; every line it prints is sent."""
    child = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=env,
        cwd="/tmp",
        start_new_session=True,
    )
    assert child.stdout is not None
    # A process that was left behind may hold the pipe open: what counts is that the child has ended.
    printing = asyncio.ensure_future(send_lines(link, child.stdout))
    status = await child.wait()
    await asyncio.wait([printing], timeout=1)
    printing.cancel()
    if status != 0:
        how = f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
        raise Failure(f"{name} {how}")


async def send_lines(link: Link, output: asyncio.StreamReader) -> None:
    """Cuts output into lines of bounded length."""
    rest = b""
    while chunk := await output.read(READ_LEN):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            await link.send(LOG, 0, line[:LINE_MAX])
        if len(rest) > LINE_MAX:
            await link.send(LOG, 0, rest[:LINE_MAX])
            rest = b""
    if rest:
        await link.send(LOG, 0, rest)


async def main() -> None:
    """Tells the server how it went."""
    channel = socket.socket(fileno=3)
    channel.setblocking(False)
    os.set_inheritable(3, False)
    link = await Link.over(channel)
    try:
        await run(link)
    except Failure as failure:
        await link.send(FAILED, 0, str(failure).encode(errors="replace"))
    except (ValueError, OSError) as error:
        await link.send(FAILED, 0, f"{type(error).__name__}: {error}".encode(errors="replace")[:LINE_MAX])
    await link.close()


asyncio.run(main())
