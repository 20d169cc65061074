"""Everything again as an ordinary user, without any right of root; and what `doctor` says to whom."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import MACHINE, Server, write_function
from harness.paths import EXAMPLES

from product.functions import ADD
from product.test_git import ME, Repository


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


def test_a_push_is_confined(ordinary: Server, tmp_path: Path) -> None:
    """Without a right of root, too: it deploys, and what works on it cannot read the server's files."""
    folder = write_function(tmp_path, "pushed", ADD)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@a",
    } | ME
    repository = Repository(folder, env)
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.commit("add")
    url = f"http://127.0.0.1:{ordinary.port}/git/pushed"
    header = f"http.extraHeader=Authorization: Bearer {ordinary.key}"
    repository.git("-c", header, "push", url, "main")
    assert ordinary.api.invoke("pushed", {"x": 2, "y": 5}).expect(200).json() == {"result": 7}
    helper = [*ordinary.prefix, str(ordinary.program), "__helper", "--", "cat", str(ordinary.data / "admin.key")]
    done = subprocess.run(helper, cwd="/", capture_output=True, timeout=60, check=False)
    assert done.returncode != 0
    assert not done.stdout
    plain = subprocess.run([*ordinary.prefix, *helper[-2:]], cwd="/", capture_output=True, timeout=60, check=True)
    assert plain.stdout.decode().strip() == ordinary.key, "the same without the helper's rules"


@pytest.mark.needs("root", "cgroups")
def test_doctor_says_level_two_to_root(shared_server: Server) -> None:
    level, features = _features(shared_server)
    assert [name for name, enforced in features.items() if not enforced] == []
    assert level == 2
    assert MACHINE.root
