"""Every attempt is made inside a function of a real server, and must be denied."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Server

from escape.decoys import Decoys
from escape.sealed import Sealed

FOLDER = Path(__file__).parent / "attempts"
ATTEMPTS = sorted(path.stem for path in FOLDER.glob("a[0-9]*.py"))
LEAST = 86
RUN_ONE = "import json, main, sys; print(json.dumps(main.handler(json.load(sys.stdin), None)))"


def control_of(attempt: str) -> str | None:
    """Who can do this on a bare host: `root`, `any`, or nobody safely (`None`)."""
    for node in ast.parse((FOLDER / f"{attempt}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CONTROL":
            return str(ast.literal_eval(node.value))
    return None


CONTROLLED = [name for name in ATTEMPTS if control_of(name)]


def test_there_are_enough_attempts() -> None:
    assert len(ATTEMPTS) >= LEAST


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_denied(confined: Server, bait: Decoys, sealed: Sealed, attempt: str) -> None:
    _assert_denied(confined, bait, attempt)
    assert sealed.touched() == []


@pytest.mark.needs("root", "tun")
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_denied_with_a_network(confined: Server, bait: Decoys, attempt: str) -> None:
    """A function that may reach the public internet gets no further than one that may reach nothing."""
    _assert_denied(confined, bait, attempt, "networked")


@pytest.mark.needs("ordinary", "userns")
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_denied_under_an_ordinary_user(ordinary: Server, bait: Decoys, attempt: str) -> None:
    _assert_denied(ordinary, bait, attempt)


@pytest.mark.needs("root")
@pytest.mark.parametrize("attempt", CONTROLLED)
def test_works_without_a_sandbox(confined: Server, bait: Decoys, attempt: str) -> None:
    """The same file on the bare host gets through: what denies it inside is the sandbox, not a mistake in the file."""
    event = bait.event(confined) | {"attempt": attempt}
    prefix = [] if control_of(attempt) == "root" else ["setpriv", "--no-new-privs"]
    done = subprocess.run(
        # Its own mount and host name space: an attempt that works must not change this machine.
        ["unshare", "--mount", "--uts", *prefix, sys.executable, "-c", RUN_ONE],
        input=json.dumps(event),
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    bait.reached()
    assert answer["denied"] is False, f"denied even without a sandbox: {answer['how']}"


def test_the_sealed_files_are_what_they_were(confined: Server, sealed: Sealed) -> None:
    assert confined.pid_status() is None
    assert len(sealed.digests) > 100, "there was little to compare"
    assert sealed.changed() == []


def _assert_denied(server: Server, bait: Decoys, attempt: str, function: str = "attempts") -> None:
    bait.reached()
    server.api.invoke("neighbour", {"x": 1}).expect(200)
    event = bait.event(server, has_network=function == "networked") | {"attempt": attempt}
    reply = server.api.invoke(function, event).expect(200)
    answer = reply.json()
    assert answer["denied"] is True, answer["how"]
    assert bait.reached() == []
    beside = server.api.invoke("neighbour", {"x": 1}).expect(200)
    assert (beside.json(), beside.headers["x-cold-start"]) == ({"result": 2}, "false"), "the neighbour was disturbed"
