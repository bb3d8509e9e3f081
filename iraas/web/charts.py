"""Step charts as SVG: pure functions from samples to text.

No colour and no size of type is set here: the style sheet knows the classes ``chart``, ``series-0``
and so on, so that the same chart serves the light and the dark theme.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from markupsafe import Markup

WIDTH, HEIGHT = 640.0, 180.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 8.0, 10.0, 22.0
MAX_POINTS = 600
TICKS = 4
GAP_S = 900.0
"""Samples further apart are not joined: nobody looked in between."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line: what it shows, and its points (seconds since the epoch, value), in order."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Span:
    """What a chart shows: from and to, in seconds since the epoch."""

    since: float
    until: float


def step_chart(title: str, unit: str, series: Sequence[Series], span: Span) -> Markup:
    """A chart whose lines hold each value until the next one.

    Args:
        title: What it shows, for those who see it and those who hear it.
        unit: What is counted, for the description.
        series: The lines.
        span: Its time; points outside are left out.
    """
    inside = [_inside(one, span) for one in series]
    top = _round_up(max((value for one in inside for _, value in one.points), default=0.0))
    lines = Markup("").join(
        Markup('<path class="series series-{}" d="{}"/>').format(place, _path(one, span, top))
        for place, one in enumerate(inside)
    )
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}</svg>'
    ).format(
        int(WIDTH),
        int(HEIGHT),
        _description(title, unit, inside),
        _value_axis(top),
        _time_axis(span),
        lines,
    )


def _inside(series: Series, span: Span) -> Series:
    points = [one for one in series.points if span.since <= one[0] <= span.until]
    return Series(series.name, _thinned(points))


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Fewer points: of each stretch the one with the highest value, so that no peak is lost."""
    size = -(-len(points) // MAX_POINTS) or 1
    stretches = (points[start : start + size] for start in range(0, len(points), size))
    return [max(stretch, key=lambda one: one[1]) for stretch in stretches]


def _path(series: Series, span: Span, top: float) -> str:
    parts: list[str] = []
    for place, (at, value) in enumerate(series.points):
        x, y = _x(at, span), _y(value, top)
        if place and at - series.points[place - 1][0] <= GAP_S:
            parts.append(f"H{x:.1f}V{y:.1f}")
        else:
            parts.append(f"M{x:.1f} {y:.1f}")
    if series.points and span.until - series.points[-1][0] <= GAP_S:
        parts.append(f"H{_x(span.until, span):.1f}")
    return "".join(parts)


def _x(at: float, span: Span) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (at - span.since) / max(1.0, span.until - span.since)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20 … times four ticks: ticks are whole numbers."""
    if value <= TICKS:
        return float(TICKS)
    magnitude = 10.0 ** math.floor(math.log10(value / TICKS))
    step = next(one for one in (1, 2, 5, 10) if one * magnitude * TICKS >= value)
    return step * magnitude * TICKS


def _value_axis(top: float) -> Markup:
    marks = []
    for tick in range(TICKS + 1):
        value = top * tick / TICKS
        y = f"{_y(value, top):.1f}"
        line = Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>')
        text = Markup('<text class="tick" x="{}" y="{}" text-anchor="end" dy="0.35em">{}</text>')
        marks.append(line.format(int(LEFT), int(WIDTH - RIGHT), y, y))
        marks.append(text.format(int(LEFT - 6), y, _short(value)))
    return Markup("").join(marks)


def _time_axis(span: Span) -> Markup:
    """Times in UTC, said so once: the server does not know the reader's clock."""
    marks = []
    for tick in range(TICKS + 1):
        at = span.since + (span.until - span.since) * tick / TICKS
        anchor = "start" if tick == 0 else "end" if tick == TICKS else "middle"
        text = datetime.fromtimestamp(at, UTC).strftime("%H:%M")
        if tick == TICKS:
            text += " UTC"
        mark = Markup('<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>')
        marks.append(mark.format(f"{_x(at, span):.1f}", int(HEIGHT - 6), anchor, text))
    return Markup("").join(marks)


def _description(title: str, unit: str, series: Sequence[Series]) -> str:
    said = []
    for one in series:
        if one.points:
            most = max(value for _, value in one.points)
            said.append(f"{one.name}: {_short(one.points[-1][1])} now, {_short(most)} at most")
    return f"{title}, {unit}. {'; '.join(said) or 'No samples.'}"


def _short(value: float) -> str:
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= 10 * limit:
            return f"{value / limit:.0f}{letter}"
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


def area_under(points: Sequence[tuple[float, float]]) -> float:
    """The sum over time of a value that holds until the next point; gaps count for nothing."""
    return sum(
        value * (after - at) for (at, value), (after, _) in pairwise(points) if after - at <= GAP_S
    )
