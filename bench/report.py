"""The page, the picture and the figures behind them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from string import Template

from .plan import Plan
from .plot import write_plot
from .section import Goal, Section, Table

TEMPLATE = Path(__file__).parent / "page.md.in"
PLOT = "benchmarks.svg"


def write(machine: dict[str, str], plan: Plan, sections: list[Section], unmeasured: list[str], page: Path) -> None:
    """Everything, at and beside `page`."""
    panels = [panel for section in sections for panel in section.panels if panel.bars]
    page.parent.mkdir(parents=True, exist_ok=True)
    if panels:
        write_plot(panels, page.parent / PLOT, f"{machine['when']}, {machine['processor']}; only ratios count")
    goals = [_line(*_goal(goal)) for section in sections for goal in section.goals]
    notes = [f"- {note}" for section in sections for note in section.notes]
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        machine,
        plot=f"![The figures as bars]({PLOT})" if panels else "",
        goals="\n".join(goals) or _line("none measured", "", "", ""),
        unmeasured="\n".join(f"- {name}" for name in unmeasured) or "- nothing",
        sections="\n\n".join(section_text(section) for section in sections),
        notes="\n".join(notes),
    )
    page.write_text(text, encoding="utf-8")


def write_json(machine: dict[str, str], plan: Plan, sections: list[Section], path: Path) -> None:
    """The figures, for programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figures = {section.name: section.figures for section in sections}
    goals = [asdict(goal) for section in sections for goal in section.goals]
    data = {"machine": machine, "plan": asdict(plan), "goals": goals, "sections": figures}
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def section_text(section: Section) -> str:
    """A section as it stands on a page."""
    return "\n\n".join([f"## {section.title}", section.text, *(_table(table) for table in section.tables)])


def _table(table: Table) -> str:
    rule = ["---", *(["---:"] * (len(table.head) - 1))]
    if table.head[-1] == "isolation":
        rule[-1] = "---"
    return "\n".join([_line(*table.head), f"|{'|'.join(rule)}|", *(_line(*row) for row in table.rows)])


def _goal(goal: Goal) -> tuple[str, str, str, str]:
    return goal.what, goal.wanted, goal.here, "reached" if goal.reached else "**not yet**"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
