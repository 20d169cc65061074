"""Handlers that do everything to outlive their timeout: none does."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Server, until, write_function

HANDLERS = 200
AT_ONCE = 10
TIMEOUT_S = 1.0
GRACE_S = 3.0
TRIES = 5
# Each process names itself with the mark, so that it is seen from the host whatever it does.
STUBBORN = """
import ctypes, os, signal, time

def handler(event):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(15, event["mark"].encode(), 0, 0, 0)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in range(64):
                try:
                    os.close(fd)
                except OSError:
                    pass
        while True:
            time.sleep(3600)
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            pass
"""


def _marked(mark: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().strip() == mark:
                found.append(path.parent.name)
        except OSError:
            continue
    return found


class Watch(threading.Thread):
    """Counts how many marked processes it ever saw: without one the test would prove nothing."""

    def __init__(self, mark: str, server: Server) -> None:
        super().__init__(daemon=True)
        self.mark, self.server = mark, server
        self.seen: set[str] = set()
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.2):
            self.seen.update(_marked(self.mark))
            self.server.footprint.look(self.server.pid)


def _stubborn_handlers(server: Server, handlers: int) -> None:
    mark = f"s{secrets.token_hex(6)}"
    folder = write_function(server.home / "src", "stubborn", STUBBORN, timeout="1s", scaling={"min": 0, "max": AT_ONCE})
    server.deploy(folder)
    watch = Watch(mark, server)
    watch.start()

    def call(_: int) -> tuple[int, str, float]:
        for _ in range(TRIES):
            began = time.monotonic()
            reply = server.api.invoke("stubborn", {"mark": mark}, timeout=120)
            outcome = reply.status, reply.json().get("code", ""), time.monotonic() - began
            # Each needs an instance of its own, which a busy machine may not start within the second that the call has.
            if outcome[:2] != (503, "FN_015"):
                break
        return outcome

    with ThreadPoolExecutor(AT_ONCE) as callers:
        answers = list(callers.map(call, range(handlers)))
    watch.done.set()
    watch.join()
    assert Counter((status, code) for status, code, _ in answers) == {(504, "FN_002"): handlers}
    assert len(watch.seen) >= handlers // 4, "too few handlers were seen alive: the count of survivors proves nothing"
    until(lambda: _marked(mark) == [], "no handler survives", within=GRACE_S)
    # Ten at once share two cores with the starts of the next ten; the bound is on the kill, so the best half tells.
    in_time = sorted(seconds for _, _, seconds in answers)[: handlers // 2]
    assert in_time[-1] <= TIMEOUT_S + GRACE_S, f"the faster half took up to {in_time[-1]:.1f} s"
    # Without a function no runtime waits either, whose sandbox would stay.
    server.cli("fn", "delete", "stubborn", "--yes").ok()
    sandboxes = server.footprint.sandboxes - server.footprint.cgroups
    until(lambda: not [path for path in sandboxes if path.exists()], "their cgroups are gone", within=15)
    assert server.stop() == 0
    assert server.footprint.leftovers() == []


def test_no_handler_survives_its_timeout() -> None:
    with Server() as server:
        _stubborn_handlers(server, HANDLERS)


@pytest.mark.needs("root", "ordinary", "userns")
def test_no_handler_survives_under_an_ordinary_user() -> None:
    with Server(ordinary_user=True) as server:
        _stubborn_handlers(server, 40)
