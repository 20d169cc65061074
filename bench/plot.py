"""The figures as a picture: bars beside bars, on light and on dark pages."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from .section import Bar, Panel

WIDTH, LABELS, VALUES = 860, 330, 70
BAR, GAP, HEAD, MARGIN = 20, 8, 62, 24
START = MARGIN + LABELS
# One accent for ours, one grey for the peers; words in the page's own colour. Chosen to be read on white and on black.
STYLE = """
  .page { fill: #ffffff } .word { fill: #1f2328; stroke: #ffffff; stroke-width: 4px; paint-order: stroke }
  .note { fill: #59636e }
  .ours { fill: #0969da } .peer { fill: #afb8c1 } .goal { stroke: #cf222e; stroke-width: 2; stroke-dasharray: 5 3 }
  .aim { fill: #cf222e }
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif }
  .title { font-size: 16px; font-weight: 600 } .own { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } .word { fill: #e6edf3; stroke: #0d1117 } .note { fill: #9198a1 }
    .ours { fill: #4493f8 } .peer { fill: #545d68 } .goal { stroke: #f85149 } .aim { fill: #f85149 }
  }
"""


def write_plot(panels: list[Panel], path: Path, caption: str) -> None:
    """One SVG with all panels below each other."""
    height = MARGIN + sum(_height(panel) for panel in panels) + MARGIN
    space, label = 'xmlns="http://www.w3.org/2000/svg"', escape(caption)
    lines = [
        f'<svg {space} viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="8"/>',
    ]
    top = MARGIN
    for panel in panels:
        lines += _panel(panel, top)
        top += _height(panel)
    lines.append(f'<text class="note" x="{MARGIN}" y="{height - 14}">{escape(caption)}</text>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, "</svg>"]) + "\n", encoding="utf-8")


def _height(panel: Panel) -> int:
    return HEAD + len(panel.bars) * (BAR + GAP) + MARGIN


def _panel(panel: Panel, top: int) -> Iterator[str]:
    most = max([bar.value for bar in panel.bars] + [panel.goal or 0]) or 1
    scale = (WIDTH - LABELS - VALUES - 2 * MARGIN) / most
    yield f'<text class="word title" x="{MARGIN}" y="{top + 18}">{escape(panel.title)}</text>'
    yield f'<text class="note" x="{MARGIN}" y="{top + 38}">{escape(panel.note)}</text>'
    places = [(bar, top + HEAD - 10 + number * (BAR + GAP)) for number, bar in enumerate(panel.bars)]
    yield from (_bar(bar, y, scale) for bar, y in places)
    if panel.goal is not None:
        x = START + panel.goal * scale
        bottom = top + HEAD - 10 + len(panel.bars) * (BAR + GAP)
        yield f'<line class="goal" x1="{x:.1f}" x2="{x:.1f}" y1="{top + HEAD - 18}" y2="{bottom}"/>'
        yield f'<text class="aim" x="{x:.1f}" y="{top + HEAD - 24}" text-anchor="middle">goal</text>'
    # After the line, which would run through them.
    for bar, y in places:
        yield from _words(bar, y, scale)


def _bar(bar: Bar, y: int, scale: float) -> str:
    kind = "ours" if bar.ours else "peer"
    return f'<rect class="{kind}" x="{START}" y="{y}" width="{_length(bar, scale):.1f}" height="{BAR}" rx="3"/>'


def _words(bar: Bar, y: int, scale: float) -> Iterator[str]:
    weight, middle = " own" if bar.ours else "", y + BAR - 5
    name = escape(_short(bar.name))
    yield f'<text class="word{weight}" x="{START - 10}" y="{middle}" text-anchor="end">{name}</text>'
    end = START + _length(bar, scale) + 8
    yield f'<text class="word{weight}" x="{end:.1f}" y="{middle}">{escape(bar.text)}</text>'


def _length(bar: Bar, scale: float) -> float:
    return max(bar.value * scale, 1)


def _short(name: str) -> str:
    return name if len(name) <= 42 else f"{name[:41]}…"
