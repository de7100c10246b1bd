"""Stacked bars as SVG: no script, no font, no file of others."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 720, 260
LEFT, BOTTOM, TOP = 64, 36, 12
GAP = 0.2  # of a bar's place
LABELS = 8  # at most, along the axis
# Told apart by people who see no red or green too (Okabe and Ito), and by lightness in print.
COLOURS = {
    "peak": "#d55e00", "flat": "#999999", "valley": "#56b4e9",
    "life": "#a50026", "safety": "#e69f00", "operational": "#0072b2",
    "lit": "#e69f00", "commanded": "#bbbbbb",
}  # fmt: skip


def bars(
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    *,
    beside: bool = False,
) -> str:
    """One stack for each label, or one bar of each series `beside` the other."""
    values = list(series.values())
    tops = [max(parts) if beside else sum(parts) for parts in zip(*values, strict=True)]
    top = _round_up(max(tops, default=0.0))
    parts = [_grid(top), *_axis(labels)]
    step = (WIDTH - LEFT) / max(1, len(labels))
    for place in range(len(labels)):
        low = 0.0
        for number, (name, heights) in enumerate(series.items()):
            width = step * (1 - GAP) / (len(series) if beside else 1)
            x = LEFT + place * step + step * GAP / 2 + (number * width if beside else 0)
            parts.append(_bar(x, width, 0.0 if beside else low, heights[place], top, name))
            low += heights[place]
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    return head + "".join(parts) + "</svg>"


def _bar(x: float, width: float, low: float, height: float, top: float, name: str) -> str:
    if not height:
        return ""
    scale = (HEIGHT - BOTTOM - TOP) / top
    y = HEIGHT - BOTTOM - (low + height) * scale
    size = f'width="{width:.1f}" height="{height * scale:.1f}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{COLOURS[name]}"/>'


def _grid(top: float) -> str:
    parts = []
    for share in (0, 0.5, 1):
        y = HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
        line = f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ccc"/>'
        label = f'<text x="{LEFT - 8}" y="{y + 6:.1f}" text-anchor="end">{share * top:g}</text>'
        parts.append(line + label)
    return "".join(parts)


def _axis(labels: Sequence[str]) -> list[str]:
    step = (WIDTH - LEFT) / max(1, len(labels))
    every = -(-len(labels) // LABELS)
    return [
        f'<text x="{LEFT + (place + 0.5) * step:.1f}" y="{HEIGHT - 10}" text-anchor="middle">'
        f"{escape(labels[place])}</text>"
        for place in range(0, len(labels), max(1, every))
    ]


def _round_up(value: float) -> float:
    """1, 2 or 5 times a power of ten."""
    step = 1.0
    while step < value:
        step *= 10
    while step / 10 >= value > 0:
        step /= 10
    return next((step * part for part in (0.1, 0.2, 0.5) if step * part >= value > 0), step)
