"""The report's plots: inline SVG whose every mark is a link to the turns it stands for.

Colours and fonts come from the page's style sheet, so the plots follow its light and dark theme; systems differ in
shape as well as colour (circles and squares). Units inside a plot are those of its ``viewBox``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from engine.report.links import Link

WIDTH, HEIGHT = 460, 270
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 12, 40
_ROW = 18  # height of one bar


@dataclass(frozen=True)
class Mark:
    """A point or bar of one system (0 or 1): its place, the words for it, its interval and where it leads."""

    x: float
    y: float
    system: int
    label: str
    link: Link
    interval: tuple[float, float] | None = None


def line_plot(marks: Sequence[Mark], x_title: str, y_title: str, title: str) -> Markup:
    """Percentages over whole numbers (turn depth), one line a system, whiskers for intervals."""
    low, high = min(mark.x for mark in marks), max(mark.x for mark in marks)
    across, up = _scale(low - 0.5, high + 0.5, LEFT, WIDTH - RIGHT), _scale(0, 100, HEIGHT - BOTTOM, TOP)
    step = max(1, round((high - low) / 12))
    parts = [
        _grid(up),
        _x_axis([(across(x), f"{x:g}") for x in range(int(low), int(high) + 1, step)], x_title),
        _y_title(y_title),
    ]
    systems = sorted({mark.system for mark in marks})
    shift = {system: (place - (len(systems) - 1) / 2) * 7 for place, system in enumerate(systems)}
    for system in systems:
        own = [mark for mark in marks if mark.system == system]
        points = " ".join(f"{across(mark.x) + shift[system]:.1f},{up(mark.y):.1f}" for mark in own)
        parts.append(Markup('<polyline class="line s{}" points="{}"/>').format(system, points))
        parts += [_point(mark, across(mark.x) + shift[system], up(mark.y), up) for mark in own]
    return _svg(parts, title)


def scatter_plot(marks: Sequence[Mark], x_title: str, y_title: str, title: str) -> Markup:
    """One point a dialogue; x from 0 to the largest value, y in percent."""
    high = max(10.0, *(mark.x for mark in marks))
    across, up = _scale(0, high * 1.03, LEFT, WIDTH - RIGHT), _scale(-3, 103, HEIGHT - BOTTOM, TOP)
    step = next(size for size in (5, 10, 20, 25, 50, 100, 200, 500, 1000, 10_000) if high / size <= 8)
    ticks = [(across(x), f"{x}") for x in range(0, int(high) + 1, step)]
    # Dialogues are many: they are listed in a table too, so the keyboard need not walk through every point.
    return _svg(
        [_grid(up), _x_axis(ticks, x_title), _y_title(y_title)]
        + [_point(mark, across(mark.x), up(mark.y), up, tabbed=False) for mark in marks],
        title,
    )


def reliability_plot(marks: Sequence[Mark], title: str) -> Markup:
    """Accuracy over confidence, both in percent, with the diagonal on which a calibrated system lies."""
    across, up = _scale(0, 100, LEFT, WIDTH - RIGHT), _scale(0, 100, HEIGHT - BOTTOM, TOP)
    ticks = [(across(x), f"{x}") for x in range(0, 101, 20)]
    diagonal = Markup('<line class="diagonal" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        *(f"{place:.1f}" for place in (across(0), up(0), across(100), up(100)))
    )
    parts = [_grid(up), _x_axis(ticks, "confidence (%)"), _y_title("slots that are right (%)"), diagonal]
    return _svg(parts + [_point(mark, across(mark.x), up(mark.y), up) for mark in marks], title)


def bar_plot(rows: Sequence[tuple[str, Sequence[Mark]]], title: str) -> Markup:
    """Horizontal bars in percent, a row for each name, one bar for each system; `Mark.y` is the value."""
    systems = max(len(marks) for _, marks in rows)
    left, row = 170, _ROW if systems == 1 else round(1.5 * _ROW)
    bottom = TOP + len(rows) * row
    across = _scale(0, 100, left, WIDTH - 44)
    tick = Markup(
        '<line class="grid" x1="{0}" y1="{1}" x2="{0}" y2="{2}"/>'
        '<text class="tick" x="{0}" y="{3}" text-anchor="middle">{4}</text>'
    )
    parts = [tick.format(f"{across(x):.1f}", TOP, bottom, bottom + 14, x) for x in range(0, 101, 25)]
    thick = (row - 5) / systems
    for place, (name, marks) in enumerate(rows):
        top = TOP + place * row
        parts.append(
            Markup('<text class="name" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
                left - 6, top + row / 2 + 3, name if len(name) < 28 else f"{name[:26]}…"
            )
        )
        for number, mark in enumerate(marks):
            y = top + 2 + number * thick
            bar = Markup('<rect class="bar s{}" x="{}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                mark.system, left, y, max(1.0, across(mark.y) - left), thick - 1
            )
            figure = Markup('<text class="figure" x="{:.1f}" y="{:.1f}">{:.1f}</text>').format(
                across(mark.y) + 4, y + thick / 2 + 3.5, mark.y
            )
            parts.append(_linked(mark, bar + figure))
    return _svg(parts, title, bottom + 22)


def _scale(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    return lambda value: first + (value - low) / (high - low) * (last - first)


def _svg(parts: Sequence[Markup], title: str, height: float = HEIGHT) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="group" aria-label="{}">{}</svg>').format(
        WIDTH, height, title, Markup("").join(parts)
    )


def _grid(up: Callable[[float], float]) -> Markup:
    line = Markup(
        '<line class="grid" x1="{0}" y1="{2:.1f}" x2="{1}" y2="{2:.1f}"/>'
        '<text class="tick" x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>'
    )
    return Markup("").join(line.format(LEFT, WIDTH - RIGHT, up(y), LEFT - 5, up(y) + 3.5, y) for y in range(0, 101, 25))


def _x_axis(ticks: Sequence[tuple[float, str]], title: str) -> Markup:
    text = Markup('<text class="{}" x="{:.1f}" y="{}" text-anchor="middle">{}</text>')
    marks = [text.format("tick", x, HEIGHT - BOTTOM + 15, label) for x, label in ticks]
    return Markup("").join([*marks, text.format("title", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, title)])


def _y_title(title: str) -> Markup:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return Markup('<text class="title" transform="translate(11 {}) rotate(-90)" text-anchor="middle">{}</text>').format(
        middle, title
    )


def _point(mark: Mark, x: float, y: float, up: Callable[[float], float], tabbed: bool = True) -> Markup:
    whisker = Markup("")
    if mark.interval:
        low, high = map(up, mark.interval)
        whisker = Markup('<path class="whisker s{0}" d="M{1:.1f} {2:.1f}V{3:.1f}M{4:.1f} {2:.1f}h6M{4:.1f} {3:.1f}h6"/>').format(
            mark.system, x, low, high, x - 3
        )
    if mark.system:
        shape = Markup('<rect class="point s1" x="{:.1f}" y="{:.1f}" width="7" height="7"/>').format(x - 3.5, y - 3.5)
    else:
        shape = Markup('<circle class="point s0" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x, y)
    return whisker + _linked(mark, shape, tabbed)


def _linked(mark: Mark, drawing: Markup, tabbed: bool = True) -> Markup:
    return Markup('<a href="{}"{}{} aria-label="{}"><title>{}</title>{}</a>').format(
        mark.link.href, mark.link.attribute(), "" if tabbed else Markup(' tabindex="-1"'), mark.label, escape(mark.label), drawing
    )
