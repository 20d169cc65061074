"""`make bench`: measures everything and writes docs/BENCHMARKS.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import against, background, burst, cold, connections, many, network, server, warm
from .ours import binary
from .plan import Plan
from .report import section_text, write, write_json
from .surroundings import ROOT, TARGET, describe, say

# In the order of the page.
SECTIONS = {
    "cold": cold.measure,
    "warm": warm.measure,
    "queue": background.measure,
    "burst": burst.measure,
    "many": many.measure,
    "connections": connections.measure,
    "network": network.measure,
    "server": server.measure,
}
# Goals that this bench cannot judge, with the reason.
UNMEASURED = [
    "of-watchdog (≥ 2.5 ×): no registry that we use has it",
    "a WASM cold start: there is no WASM runtime yet",
]


def main() -> int:
    words = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    words.add_argument("--quick", action="store_true", help="only show that everything runs; writes to target/bench")
    words.add_argument("--only", help="only rows with this text in their name; writes to target/bench")
    words.add_argument("--section", action="append", choices=SECTIONS, help="only this part; may be given again")
    words.add_argument(
        "--against",
        type=Path,
        metavar="BINARY",
        help="only ours, this older binary and the build in turn; writes to target/bench",
    )
    chosen = words.parse_args()
    plan = Plan.quickly() if chosen.quick else Plan()
    if chosen.against:
        return _against(chosen.against, plan)
    names = chosen.section or list(SECTIONS)
    machine = describe()
    sections = []
    for name in names:
        say(f"section {name}")
        sections.append(SECTIONS[name](plan, chosen.only))
    left_out = [f"section `{name}`" for name in SECTIONS if name not in names]
    whole = not (chosen.quick or chosen.only or chosen.section)
    page = (ROOT / "docs" if whole else TARGET / "bench") / "BENCHMARKS.md"
    write_json(machine, plan, sections, TARGET / "bench/results.json")
    write(machine, plan, sections, left_out + UNMEASURED, Path(page))
    print(page.read_text())
    return 0


def _against(old: Path, plan: Plan) -> int:
    text = section_text(against.compare(old, binary(), plan)) + "\n"
    (TARGET / "bench/AGAINST.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
