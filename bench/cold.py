"""Starts from nothing: ours through HTTP, and what else starts a Python, a Node or a Deno."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from .containers import crun
from .ours import Ours, serving
from .plan import Plan
from .probe import Latency, Probe
from .section import Bar, Goal, Panel, Section, Table, at_most, quantiles, ratio
from .section import time as spoken
from .starts import Start, started
from .surroundings import deno, interpreter, node, say

BWRAP = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
PLAIN = "none: a plain process"
BWRAP_ISOLATION = "namespaces; no seccomp, no limits, the host's files"
OURS, BACK_TO_BACK = "faas: HTTP to response, nothing running", "faas: the same, back to back"


@dataclass(frozen=True)
class Way:
    """One way to start; `start` answers with microseconds."""

    name: str
    isolation: str
    start: Callable[[], float]


@dataclass(frozen=True)
class Language:
    """What is started, and what is wanted of ours beside the bare program's median."""

    name: str
    app: str
    runtime: str
    bare: str
    command: list[str]
    p50: float
    p99: float


def measure(plan: Plan, only: str | None) -> Section:
    """Each language, each way in turn, so that no way has the quieter minutes."""
    # Programs to offer besides those on the path.
    offered = {"FAAS_INTERPRETERS": str(program)} if (program := deno()) else {}
    with serving(**offered) as ours:
        sections = [_language(ours, language, plan, only) for language in languages()]
    text = (
        f"{plan.cold_starts} starts each, in turn, after {plan.idle_gap_s * 1000:.0f} ms of silence. Ours is the whole "
        "way: an HTTP request comes in for a function that has no instance and never had one, a sandbox is there or is "
        "opened, the runtime loads the code in it, the handler answers. The others only start a program that does "
        "nothing, and wait for its end."
    )
    tables, goals, panels, figures = [], [], [], {}
    for table, some, panel, numbers in sections:
        tables.append(table)
        goals += some
        panels.append(panel)
        figures |= numbers
    notes = [
        "Cold starts of ours include the check of a key and the run's record; deploying is not part of them.",
        "`crun` gets a bundle of the same files and no more: five namespaces, no capabilities, limits on memory and "
        "processes, no system call filter, its usual masks of `/proc`.",
    ]
    return Section("cold", "Cold starts", text, tables, goals, panels, notes, figures)


def languages() -> list[Language]:
    """Those of this machine; Python is the first."""
    python = str(interpreter())
    found = [
        Language(
            "Python", "ours", interpreter().name, "`python3 -I -S -c pass`", [python, "-I", "-S", "-c", "pass"], 1, 2
        )
    ]
    if shutil.which("node"):
        found.append(Language("Node", "ours_node", "node", "`node -e 0`", [node(), "-e", "0"], 0.5, 2))
    if program := deno():
        # The script lies in a file: `deno eval` would compile it first.
        empty = str(Path(__file__).parent / "apps/deno/empty.js")
        found.append(Language("Deno", "ours_deno", "deno", "`deno run empty.js`", [str(program), "run", empty], 0.5, 2))
    return found


def _language(
    ours: Ours, language: Language, plan: Plan, only: str | None
) -> tuple[Table, list[Goal], Panel, dict[str, object]]:
    with ExitStack() as stack:
        ways = _ways(stack, ours, language)
        chosen = [way for way in ways if not only or only.lower() in way.name.lower()]
        samples: dict[str, list[float]] = {way.name: [] for way in chosen}
        for number in range(plan.cold_starts):
            say(f"cold starts of {language.name}: {number + 1} of {plan.cold_starts}")
            for way in chosen:
                samples[way.name].append(way.start() if way.name == BACK_TO_BACK else _after(plan, way))
    rows = {way: Latency.of(samples[way.name]) for way in chosen}
    bare = next((latency.p50_us for way, latency in rows.items() if way.name.startswith("bare")), None)
    head = (f"way to start {language.name}", "p50", "p95", "p99", "p50 to bare", "isolation")
    cells = [(w.name, *quantiles(times), ratio(times.p50_us, bare), w.isolation) for w, times in rows.items()]
    figures = {f"{language.name}: {way.name}": asdict(latency) for way, latency in rows.items()}
    return Table(head, cells), _goals(language, rows, bare), _panel(language, rows, bare), figures


def _after(plan: Plan, way: Way) -> float:
    time.sleep(plan.idle_gap_s)
    return way.start()


def _ways(stack: ExitStack, ours: Ours, language: Language) -> list[Way]:
    first = FirstCalls(ours, language)
    ways = [
        Way(OURS, "", first.call),
        Way(BACK_TO_BACK, "", lambda: first.call(follows=True)),
        Way(f"bare {language.bare}", PLAIN, lambda: started(Start(language.command))),
    ]
    if shutil.which("bwrap"):
        ways.append(Way("`bwrap` + the same", BWRAP_ISOLATION, lambda: started(Start([*BWRAP, *language.command]))))
    if container := crun(stack, language.command):
        ways.append(Way("`crun run` + the same", container.isolation, container.start))
    first.call()
    level = ours.isolation()
    return [Way(way.name, way.isolation or level, way.start) for way in ways]


class FirstCalls:
    """The first call that a function ever gets, as the answer itself must say. Each start has a function of its own."""

    def __init__(self, ours: Ours, language: Language) -> None:
        self.ours, self.language, self.number = ours, language, 0
        # Runtimes wait only where a deployed function uses them.
        ours.deploy(language.app, f"kept-{language.name.lower()}", runtime=language.runtime)
        self.ready: str | None = None

    def call(self, follows: bool = False) -> float:
        """With `follows` another function's first call ended right before."""
        names = [self._deployed() for _ in range(1 + follows)]
        took = [self._first(name) for name in names]
        for name in names:
            self.ours.cli("fn", "delete", name, "--yes")
        return took[-1]

    def _deployed(self) -> str:
        self.number += 1
        name = f"cold-{self.language.name.lower()}-{self.number}"
        self.ours.deploy(self.language.app, name, runtime=self.language.runtime)
        return name

    def _first(self, name: str) -> float:
        with Probe(self.ours.port, f"/fn/{name}/", {"X-API-Key": self.ours.key}) as probe:
            took, head = probe.call()
        if "x-cold-start: true" not in head.lower():
            raise RuntimeError(f"the first call of {name} was not cold:\n{head}")
        return took


def _goals(language: Language, rows: dict[Way, Latency], bare: float | None) -> list[Goal]:
    own = next((latency for way, latency in rows.items() if way.name == OURS), None)
    if not own or not bare:
        return []
    wanted = (("p50", own.p50_us, language.p50), ("p99", own.p99_us, language.p99))
    return [
        at_most(f"{language.name} cold start {word}, to the p50 of bare {language.bare}", value / bare, limit, " ×")
        for word, value, limit in wanted
    ]


def _panel(language: Language, rows: dict[Way, Latency], bare: float | None) -> Panel:
    bars = [
        Bar(way.name.replace("`", ""), times.p50_us / 1000, spoken(times.p50_us), way.name.startswith("faas"))
        for way, times in rows.items()
    ]
    goal = bare * language.p50 / 1000 if bare else None
    return Panel(f"Cold start of {language.name}, p50", "ms; shorter is better; the line is our goal", bars, goal)
