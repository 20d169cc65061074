"""Versions come and go under load, and nobody notices: no request fails, shares are kept, what is bad goes by itself.

The short form sends about 100 requests/s so that it holds on a busy machine; `FAAS_LONG=1` sends 500/s.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server, until, write_function

from durability.crew import Crew

LONG = os.environ.get("FAAS_LONG") == "1"
RATE = 500 if LONG else 100
DEPLOYS, ROLLBACKS = 20, 5
CALLERS = 8


class Callers(Crew):
    """Connections that are kept, with so many requests a second together until told to stop."""

    def __init__(self, server: Server, name: str, rate: int, most: int = 60_000) -> None:
        super().__init__(CALLERS, patience=90)
        self.server, self.name, self.pause, self.most = server, name, CALLERS / rate, most // CALLERS
        self.outcomes: Counter[str] = Counter()
        self.versions: Counter[int] = Counter()

    def good(self) -> int:
        """Requests that were answered as they should."""
        return self.outcomes["200"]

    def work(self, number: int) -> None:
        connection = self.server.http.connect(60)
        headers = {"Authorization": f"Bearer {self.server.key}"}
        due = time.monotonic()
        for _ in range(self.most):
            if self.stopping.wait(max(0.0, due - time.monotonic())):
                break
            due = max(due + self.pause, time.monotonic() - 1)
            outcome, version = one_call(connection, self.name, headers)
            with self.lock:
                self.outcomes[outcome] += 1
                self.versions[version] += 1
        connection.close()


def one_call(connection: http.client.HTTPConnection, name: str, headers: dict[str, str]) -> tuple[str, int]:
    """One request on a connection that is kept, and what came of it with the version that says so."""
    try:
        connection.request("GET", f"/fn/{name}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        version = int(answer.headers.get("X-Function-Version", "0"))
        if answer.status == 200 and json.loads(body) != {"result": version}:
            return f"version {version} answered {body[:80]!r}", version
        return (str(answer.status) if answer.status == 200 else f"{answer.status} {body[:300]!r}"), version
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return f"cut: {error!r}", 0


class Rollout:
    """A function of which each version answers with its own number."""

    def __init__(self, server: Server, folder: Path, name: str) -> None:
        self.server, self.folder, self.name, self.latest = server, folder, name, 0

    def deploy(self, *args: str, code: str | None = None, canary: str = "", **settings: Any) -> dict[str, Any]:
        """Deploys another version and returns what the command printed."""
        number = self.latest + 1
        body = code or f"def handler():\n    return {number}\n"
        folder = write_function(self.folder, self.name, body, **settings)
        with (folder / "faas.toml").open("a", encoding="utf-8") as manifest:
            manifest.write(f"[scaling]\nmax = 4\n{canary}\n")
        report = self.server.deploy(folder, *args)
        self.latest = number
        assert report["version"] == number
        return report

    def cli(self, *args: str) -> Any:
        """A command with the function's name behind its words, as JSON."""
        return self.server.cli(*args, "-o", "json").ok().json()

    def canary(self) -> dict[str, Any] | None:
        """The trial that is under way."""
        reply = self.server.http.get(f"/api/v1/functions/{self.name}/rollout")
        return reply.json() if reply.status == 200 else None

    def kinds(self) -> list[str]:
        """What moved its aliases, newest first."""
        return [row["kind"] for row in self.cli("fn", "deployments", self.name)["items"]]

    def live(self) -> dict[str, Any]:
        """Where `live` points."""
        return self.server.api.function(self.name)["aliases"]["live"]

    def shares(self, requests: int) -> Counter[int]:
        """The versions that answered so many requests of some connections."""
        counts: Counter[int] = Counter()
        lock = threading.Lock()

        def call() -> None:
            connection = self.server.http.connect(60)
            headers = {"Authorization": f"Bearer {self.server.key}"}
            own = Counter(one_call(connection, self.name, headers) for _ in range(requests // CALLERS))
            connection.close()
            with lock:
                for (outcome, version), count in own.items():
                    assert outcome == "200", outcome
                    counts[version] += count

        threads = [threading.Thread(target=call) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        assert counts.total() == requests, counts
        return counts


@pytest.fixture
def rollout(server: Server, tmp_path: Path, name: str) -> Iterator[Rollout]:
    """A function with a first version."""
    rollout = Rollout(server, tmp_path, name)
    rollout.deploy()
    yield rollout
    server.cli("fn", "delete", name, "--yes").ok()


def calls_until(rollout: Rollout, done: Callable[[], bool], most: int = 5_000) -> Counter[str]:
    """Calls until something has happened, and counts what was answered."""
    outcomes: Counter[str] = Counter()
    connection = rollout.server.http.connect(60)
    headers = {"Authorization": f"Bearer {rollout.server.key}"}
    for turn in range(most):
        if turn % 10 == 0 and done():
            connection.close()
            return outcomes
        outcomes[one_call(connection, rollout.name, headers)[0][:3]] += 1
        time.sleep(0.002)
    raise AssertionError(f"still not so after {most} calls: {outcomes}, {rollout.canary()}")


def test_no_request_fails_while_versions_change(rollout: Rollout) -> None:
    """20 deployments, 5 rollbacks and a canary that takes over, under load."""
    with Callers(rollout.server, rollout.name, RATE) as callers:
        for turn in range(DEPLOYS):
            rollout.deploy()
            if turn % (DEPLOYS // ROLLBACKS) == 1:
                back = rollout.cli("rollback", rollout.name)
                assert back["kind"] == "rollback" and back["version"] < rollout.latest
                assert any("secrets" in line for line in back["not_reverted"])
        rollout.deploy(canary='[canary]\nsteps = [20, 60]\nevery = "1s"\nmin_calls = 20\n')
        until(lambda: rollout.live()["version"] == rollout.latest, "the canary has taken over", within=120)
        before = callers.good()
        until(lambda: callers.good() > before + 50, "callers still call", within=60)
    print(f"{callers.outcomes}, {len(callers.versions)} versions answered")
    assert set(callers.outcomes) == {"200"}, callers.outcomes
    assert callers.versions[rollout.latest] > 50
    assert len(callers.versions) >= DEPLOYS // 2, "the callers saw too few of the versions to prove anything"
    kinds = Counter(rollout.kinds())
    # The first version and the canary are deployments too.
    expected = {"deploy": DEPLOYS + 1, "rollback": ROLLBACKS, "canary": 1, "step": 1, "promote": 1}
    assert kinds == expected


def test_a_split_keeps_its_weights(rollout: Rollout) -> None:
    """10,000 requests over some connections at once, within 2 percent."""
    rollout.deploy()
    for share in (10, 33.3):
        alias = rollout.cli("alias", "set", rollout.name, "live", f"1={100 - share:.1f}", f"2={share}")
        assert alias["split"] == {"version": 2, "percent": share}
        counts = rollout.shares(10_000)
        print(counts)
        for version, percent in ((1, 100 - share), (2, share)):
            assert abs(counts[version] - percent * 100) <= percent * 100 * 0.02, counts


def test_callers_stay_with_their_version(rollout: Rollout) -> None:
    """By a header, by a cookie; those without take their chance each time."""
    rollout.deploy()
    http, url = rollout.server.http, f"/fn/{rollout.name}"
    for sticky, header in (("header:X-User", "X-User"), ("cookie:uid", "Cookie")):
        rollout.cli("alias", "set", rollout.name, "live", "1=50", "2=50", "--sticky", sticky)
        seen: Counter[int] = Counter()
        for user in range(60):
            value = f"a=b; uid={user}" if header == "Cookie" else str(user)
            versions = {http.get(url, headers={header: value}).headers["x-function-version"] for _ in range(4)}
            assert len(versions) == 1, f"user {user} got {versions}"
            seen[int(versions.pop())] += 1
        assert min(seen[1], seen[2]) > 10, seen
        without = Counter(http.get(url).headers["x-function-version"] for _ in range(20))
        assert abs(without["1"] - 10) <= 2, without


def test_a_bad_canary_rolls_itself_back(rollout: Rollout) -> None:
    """One that raises; most callers never meet it, and it is no way back."""
    canary = '[canary]\nsteps = [10, 50]\nevery = "1s"\nmin_calls = 20\n'
    report = rollout.deploy(code="def handler():\n    raise ValueError('wrong')\n", canary=canary)
    assert report["split"] == {"version": 2, "percent": 10.0}
    outcomes = calls_until(rollout, lambda: rollout.canary() is None)
    print(outcomes)
    assert outcomes["502"] > 0
    assert outcomes["502"] <= 0.2 * outcomes.total()
    live = rollout.live()
    assert (live["version"], live.get("split")) == (1, None)
    assert rollout.kinds()[:2] == ["breach", "canary"]
    assert calls_until(rollout, lambda: True).total() == 0
    assert rollout.shares(200) == {1: 200}
    refused = rollout.server.cli("rollback", rollout.name).exits(4)
    assert "FN_013" in refused.stderr


def test_a_slow_canary_rolls_itself_back(rollout: Rollout) -> None:
    """Right answers, too late."""
    slow = "import time\n\ndef handler():\n    time.sleep(0.3)\n    return 2\n"
    canary = '[canary]\nsteps = [50]\nevery = "1s"\nmax_p95 = "200ms"\nmin_calls = 10\n'
    rollout.deploy(code=slow, canary=canary)
    outcomes = calls_until(rollout, lambda: rollout.canary() is None, most=400)
    assert set(outcomes) == {"200"}
    assert rollout.live()["version"] == 1
    assert rollout.kinds()[0] == "breach"


def test_a_canary_goes_on_after_a_kill(tmp_path: Path) -> None:
    """SIGKILL on the way: share and step are what they were, and it still takes over."""
    with Server() as server:
        rollout = Rollout(server, tmp_path, "killed")
        rollout.deploy()
        rollout.deploy(canary='[canary]\nsteps = [20, 60]\nevery = "2s"\nmin_calls = 5\n')
        calls_until(rollout, lambda: (rollout.canary() or {}).get("step") == 2)
        server.kill()
        server.start()
        canary = rollout.canary()
        assert canary is not None
        assert (canary["step"], canary["percent"]) == (2, 60.0)
        calls_until(rollout, lambda: rollout.canary() is None)
        assert (rollout.live()["version"], rollout.live().get("split")) == (2, None)


def test_a_preview_ends_by_itself(rollout: Rollout) -> None:
    """It has a URL of its own, is private whatever its manifest says, is renewed, and is gone when its time is over."""
    server = rollout.server
    url = f"/fn/{rollout.name}:fix-7"
    report = rollout.deploy("--preview", "fix-7", "--expires", "1h", auth="public")
    assert report["url"].endswith(url)
    assert report["expires_at"]
    assert server.http.get(url).expect(200).json() == {"result": 2}
    for stranger in (url, f"/fn/{rollout.name}:2", f"/async/{rollout.name}:fix-7"):
        server.http.get(stranger, key=None).expect(401)
    assert server.http.get(f"/fn/{rollout.name}").json() == {"result": 1}
    rollout.deploy("--preview", "fix-7", "--expires", "6s", auth="public")
    assert server.http.get(url).expect(200).json() == {"result": 3}
    until(lambda: server.http.get(url).status == 404, "the preview is over", within=60)
    names = lambda: [alias["name"] for alias in rollout.cli("alias", "list", rollout.name)["items"]]  # noqa: E731
    until(lambda: names() == ["live"], "the preview is swept", within=60)
    assert rollout.kinds()[0] == "expire"


def test_a_preview_of_a_new_function_is_not_live(server: Server, tmp_path: Path, name: str) -> None:
    """Nobody can call it but by the preview's name."""
    rollout = Rollout(server, tmp_path, name)
    rollout.deploy("--preview", "first", auth="public")
    assert server.http.get(f"/fn/{name}:first").expect(200).json() == {"result": 1}
    assert server.http.get(f"/fn/{name}").expect(404).json()["code"] == "FN_001"
    assert server.api.function(name)["status"] == "empty"
    server.cli("fn", "delete", name, "--yes").ok()
