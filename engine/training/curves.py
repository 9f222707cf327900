"""Loss curves as a small SVG, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 720, 360
LEFT, TOP, RIGHT, BOTTOM = 52, 16, 200, 36  # margins; the legend stands in the right one
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f")
SMOOTH = 10  # steps a point of a curve is the mean of


def draw_curves(losses: Mapping[str, Sequence[float]]) -> str:
    """One line per name: loss over steps, each point the mean of the last ten; the axis of the losses is logarithmic."""
    curves = {name: _smoothed(values) for name, values in losses.items() if values}
    shown = [value for curve in curves.values() for value in curve if math.isfinite(value) and value > 0]
    low, high = (math.log(min(shown)), math.log(max(shown))) if shown else (0.0, 1.0)
    steps = max((len(curve) for curve in curves.values()), default=1)

    def x(step: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / max(1, steps - 1)

    def y(loss: float) -> float:
        share = (math.log(loss) - low) / max(high - low, 1e-9)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for part in range(5):
        loss = math.exp(low + (high - low) * part / 4)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(loss):.1f}" y2="{y(loss):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:.3g}</text>')
        step = (steps - 1) * part // 4
        parts.append(f'<text x="{x(step):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{step + 1}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">step</text>')
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(curve) if math.isfinite(v) and v > 0)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{TOP + 14 * number + 8}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _smoothed(values: Sequence[float]) -> list[float]:
    windows = (values[max(0, end - SMOOTH) : end] for end in range(1, len(values) + 1))
    return [sum(window) / len(window) for window in windows]
