#!/usr/bin/env python3
"""Mixed load for as long as one wants, with every sort of failure in it; nothing may leak or be lost.

`python tests/durability/soak.py --minutes 60` or `--calls 1000000` is the long form. `test_soak.py` runs the short one.
Ends with 0 when everything held, and prints what it saw either way.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Server, until

from durability.soak_functions import deploy_all
from durability.soak_load import Account, Caller, Churn
from durability.soak_watch import Sample, slope_kb_per_hour

IDLE = "2s"
# A resting server keeps a few threads and connections to its store for a while; they come and go.
SLACK = {"files": 4, "threads": 4}
# Memory that a server at work may gain over a whole soak after its warm-up, however long: caches that fill once, and
# what the allocator keeps for each thread.
GROWTH_KB = 64 << 10
REST_WITHIN_S = 60.0


@dataclass
class Report:
    """What a soak saw. `broken` is empty when everything held."""

    seconds: float = 0.0
    calls: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    deployments: int = 0
    memory_kb: dict[str, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


class Soak:
    """One server under load."""

    def __init__(self, server: Server, callers: int, churn_pause: float) -> None:
        self.server, self.account, self.stop = server, Account(), threading.Event()
        self.callers = [Caller(server, self.account, seed, self.stop) for seed in range(callers)]
        self.churn = Churn(server, self.account, self.stop, churn_pause)
        self.samples: list[Sample] = []
        self.report = Report()

    def run(self, enough: Callable[[int, float], bool], warm_up_s: float) -> Report:
        """Loads the server until `enough(calls, seconds)`; then looks at everything that must hold."""
        deploy_all(self.server)
        base = self._warm_base()
        began = time.monotonic()
        for thread in (*self.callers, self.churn):
            thread.start()
        while not enough(self.account.calls(), time.monotonic() - began):
            time.sleep(0.5)
            if time.monotonic() - began > warm_up_s:
                self.samples.append(Sample.of(self.server))
            if not any(caller.is_alive() for caller in self.callers):
                break
        self.report.seconds = round(time.monotonic() - began, 1)
        self._finish_callers()
        self._check_rest(base)
        self._check_memory()
        self._check_runs()
        self._check_answers()
        return self.report

    def _warm_base(self) -> Sample:
        """The server at rest after every function has been called once."""
        warm = Account()
        stop = threading.Event()
        caller = Caller(self.server, warm, 0, stop)
        caller.start()
        time.sleep(2)
        stop.set()
        caller.join(60)
        self.account.answered |= warm.answered
        self.account.left += warm.left
        self.server.footprint.look(self.server.pid)
        return self._at_rest()

    def _at_rest(self) -> Sample:
        """Once the last instance has idled out."""
        until(lambda: self.server.metric("faas_in_flight") == 0, "no call is under way", within=REST_WITHIN_S)
        until(lambda: self.server.metric("faas_instances") == 0, "no instance is left", within=REST_WITHIN_S)
        time.sleep(1)
        return Sample.of(self.server)

    def _finish_callers(self) -> None:
        self.stop.set()
        for thread in (*self.callers, self.churn):
            thread.join(120)
            if thread.is_alive():
                self.report.broken.append(f"{thread.name} never came back: a call has no end")
            if thread.failure:
                self.report.broken.append(f"a caller failed: {thread.failure!r}")
        self.report.calls = self.account.calls()
        self.report.outcomes = dict(sorted(self.account.outcomes.items()))
        self.report.deployments = self.churn.made

    # === what must hold ===

    def _check_rest(self, base: Sample) -> None:
        if self.server.pid_status() is not None:
            self.report.broken.append("the server died")
            return
        end = time.monotonic() + REST_WITHIN_S
        while (above := self._at_rest().above(base, SLACK)) and time.monotonic() < end:
            time.sleep(1)
        self.report.broken += above

    def _check_memory(self) -> None:
        if len(self.samples) < 10:
            return
        slope = slope_kb_per_hour(self.samples)
        hours = (self.samples[-1].at - self.samples[0].at) / 3600
        memory = [sample.anonymous_kb for sample in self.samples]
        self.report.memory_kb = {
            "first": memory[0],
            "last": memory[-1],
            "most": max(memory),
            "slope an hour": round(slope),
            "gain by slope": round(slope * hours),
        }
        if slope * hours > GROWTH_KB:
            self.report.broken.append(f"memory grows: {self.report.memory_kb}")

    def _check_runs(self) -> None:
        """Every answer has its run in the right state, every run has ended, and no run was asked for by nobody."""
        dropped = self.server.metric("faas_run_records_dropped_total")
        states: Counter[str] = Counter()
        wrong, missing = [], dict(self.account.answered)
        unasked = 0
        for run in _runs(self.server):
            states[run["state"]] += 1
            expected = missing.pop(run["id"], None)
            unasked += expected is None
            if not run["finished_at"] or (expected and run["state"] != expected):
                wrong.append(f"{run['id']} is {run['state']}, its caller saw {expected}")
        self.report.runs = {**states, "records dropped": int(dropped), "without an answer": unasked}
        self.report.broken += wrong[:10]
        if len(missing) > dropped:
            self.report.broken.append(f"{len(missing)} answers without a run, {int(dropped)} records dropped")
        if unasked > self.account.left:
            self.report.broken.append(f"{unasked} runs without an answer, though only {self.account.left} callers left")

    def _check_answers(self) -> None:
        self.report.broken += self.account.wrong[:20]


def _runs(server: Server) -> list[dict]:
    """Every run there is, page by page, once the records have caught up."""
    time.sleep(2)
    found, cursor = [], ""
    while True:
        page = server.http.get(f"/api/v1/runs?limit=200{cursor}").expect(200).json()
        found += [{key: run[key] for key in ("id", "state", "finished_at")} for run in page["items"]]
        if not page["next_cursor"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def soak(enough: Callable[[int, float], bool], *, warm_up_s: float, churn_pause: float, callers: int = 8) -> Report:
    """A soak over a server of its own, which must also leave nothing when it stops."""
    with Server(args=["--idle", IDLE]) as server:
        report = Soak(server, callers, churn_pause).run(enough, warm_up_s)
        if server.stop() != 0:
            report.broken.append("the server did not end well")
        report.broken += server.footprint.leftovers()
    return report


def main() -> int:
    """The command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--calls", type=int, default=0, help="stop after so many calls")
    words.add_argument("--minutes", type=float, default=0, help="stop after so long; with --calls, whichever is later")
    words.add_argument("--callers", type=int, default=8, help="threads that call")
    chosen = words.parse_args()
    if not chosen.calls and not chosen.minutes:
        words.error("say --calls or --minutes")

    def enough(calls: int, seconds: float) -> bool:
        return calls >= chosen.calls and seconds >= chosen.minutes * 60

    report = soak(enough, warm_up_s=30, churn_pause=2, callers=chosen.callers)
    print(json.dumps(asdict(report), indent=2))
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
