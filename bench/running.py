"""Programs that answer HTTP, for as long as they are needed."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from .surroundings import clean_env

APPS = Path(__file__).parent / "apps"
READY_WITHIN_S = 120


def wait_ready(port: int, path: str, process: subprocess.Popen[bytes], log: Path) -> float:
    """Seconds until the path answers with 200."""
    began = time.monotonic()
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return time.monotonic() - began
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()
        if process.poll() is not None or time.monotonic() - began > READY_WITHIN_S:
            raise RuntimeError(f"{process.args!r} did not become ready:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.002)


@contextmanager
def running(
    command: list[str], port: int, path: str, cwd: Path = APPS, **env: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts it, waits until it answers, ends it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        log = Path(place) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(command, cwd=cwd, env=clean_env(**env), stdout=out, stderr=out)
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
