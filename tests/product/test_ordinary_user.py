"""Everything again as an ordinary user, without any right of root; and what `doctor` says to whom."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import MACHINE, Server
from harness.paths import EXAMPLES


@pytest.fixture(scope="module")
def ordinary() -> Iterator[Server]:
    with Server(ordinary_user=True) as server:
        yield server


pytestmark = pytest.mark.needs("ordinary", "userns")


def _features(server: Server) -> tuple[int, dict[str, bool]]:
    report = server.cli("doctor", "-o", "json")
    told = report.json()
    level = told.get("level", told.get("isolation"))
    rows = told.get("probes", told.get("features"))
    return level, {row["feature"]: row["enforced"] for row in rows}


def test_the_whole_example(ordinary: Server) -> None:
    ordinary.deploy(EXAMPLES / "hello")
    assert ordinary.cli("invoke", "hello", "-d", '{"x": 5, "y": 10}').ok().json() == {"result": 15}
    reply = ordinary.api.call("hello", {"x": 5, "y": 10}).expect(200)
    assert (reply.json(), reply.headers["x-cold-start"]) == ({"result": 15}, "false")
    assert ordinary.process is not None
    with open(f"/proc/{ordinary.pid}/status", encoding="ascii") as status:
        uids = next(line for line in status if line.startswith("Uid:")).split()[1:]
    assert "0" not in uids, "the server runs as root after all"


def test_doctor_tells_an_ordinary_user_the_truth(ordinary: Server) -> None:
    level, features = _features(ordinary)
    must = ["user-namespace", "mount-namespace", "pid-namespace", "net-namespace", "seccomp", "no-privileges"]
    assert [name for name in must if not features[name]] == []
    # What the kernel counts by user, it shares with the server.
    assert features["host-user"] is False
    assert level == 1
    run_id = ordinary.api.invoke("hello", {"x": 1, "y": 1}).headers["x-run-id"]
    assert ordinary.api.finished(run_id)["isolation"] == level, "a run claims another level than doctor"


@pytest.mark.needs("root", "cgroups")
def test_doctor_says_level_two_to_root(shared_server: Server) -> None:
    level, features = _features(shared_server)
    assert [name for name, enforced in features.items() if not enforced] == []
    assert level == 2
    assert MACHINE.root
