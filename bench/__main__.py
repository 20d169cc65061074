"""`make bench`: measures everything and writes docs/BENCHMARKS.md."""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from .cold import cold_starts, server_itself
from .plan import Plan
from .probe import Latency, Probe, after_idle
from .report import Results, Row, write_json, write_page
from .surroundings import describe
from .targets import Target, binary_from_env, everything
from .wrk import Throughput, load

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    words = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    words.add_argument("--quick", action="store_true", help="only show that everything runs; writes to target/bench")
    words.add_argument("--only", help="only targets with this text in their name; writes to target/bench")
    chosen = words.parse_args()
    plan = Plan.quick() if chosen.quick else Plan()
    machine = describe()
    with everything(binary_from_env(), chosen.only) as (ours, targets):
        for target in targets:
            _warm_up(target, plan)
        loads = _rounds(targets, plan)
        rows = [Row(target, *loads[target.name], _idle(target, plan)) for target in targets]
        _say("cold starts")
        cold = cold_starts(ours, next((t.isolation for t in targets if t.ours), ours.isolation()), plan)
        _say("the server itself")
        server = server_itself(ours)
    results = Results(machine, plan, rows, cold, server)
    whole = not chosen.quick and not chosen.only
    page = ROOT / "docs/BENCHMARKS.md" if whole else ROOT / "target/bench/BENCHMARKS.md"
    write_json(results, ROOT / "target/bench/results.json")
    write_page(results, page)
    print(page.read_text())
    return 0


def _warm_up(target: Target, plan: Plan) -> None:
    _say(f"warming up {target.name}")
    with Probe(target.port, target.path, target.headers) as probe:
        for _ in range(plan.warm_up_calls):
            probe.call()


def _rounds(targets: list[Target], plan: Plan) -> dict[str, tuple[Throughput, Throughput]]:
    """Load on each in turn, round after round, so that a slow minute hits all of them."""
    many: dict[str, list[Throughput]] = {target.name: [] for target in targets}
    one: dict[str, list[Throughput]] = {target.name: [] for target in targets}
    for number in range(plan.rounds):
        for target in targets:
            _say(f"round {number + 1} of {plan.rounds}: {target.name}")
            many[target.name].append(load(target.url, target.headers, plan.connections, plan))
            one[target.name].append(load(target.url, target.headers, 1, plan))
    return {target.name: (_median(many[target.name]), _median(one[target.name])) for target in targets}


def _median(runs: list[Throughput]) -> Throughput:
    middle = statistics.median
    return Throughput(
        middle(run.per_second for run in runs), middle(run.p50_us for run in runs), middle(run.p99_us for run in runs)
    )


def _idle(target: Target, plan: Plan) -> Latency:
    _say(f"after a pause: {target.name}")
    return after_idle(target.port, target.path, target.headers, plan)


def _say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
