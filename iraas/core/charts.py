"""Step charts of time series, as SVG.

Counts are drawn as steps: a value holds until the next sample. A chart needs no script, no font and
no network. In a page its colours come from the page's style sheet (classes ``chart-…`` and no
inline style, so that a strict content security policy allows it); a standalone file embeds them,
for light and dark colour schemes.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

Point = tuple[float, float]

SERIES_CLASSES = 4
WIDTH = 760
LEFT, RIGHT, TOP, BOTTOM, GAP = 56, 16, 30, 28, 34
BARE_LEFT, BARE_RIGHT, BARE_TOP = 36, 2, 8
MARK_WIDTH = 110
MAX_STEPS = 600
MINUTE_S = 60
HOUR_S = 3600
_NICE = (1.0, 2.0, 5.0, 10.0)
_NICE_TIMES_S = (
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
    14_400.0, 21_600.0, 43_200.0, 86_400.0,
)  # fmt: skip

STYLE = (
    "\n"
    ".chart{font:12px system-ui,sans-serif;--s0:#0b62c4;--s1:#b4460b;--s2:#0f7a4f;"
    "--s3:#7a3fb0;--ink:#1c2330;--soft:#5b6472;--grid:#dde2e9;--paper:#fff}\n"
    "@media (prefers-color-scheme:dark){.chart{--s0:#6cb0ff;--s1:#ff9d66;--s2:#59cf9c;"
    "--s3:#c79bf2;--ink:#e8ecf2;--soft:#a4adba;--grid:#333b47;--paper:#14181f}}\n"
    ".chart-paper{fill:var(--paper)}.chart-title{fill:var(--ink);font-weight:600}"
    ".chart-text{fill:var(--soft)}\n"
    ".chart-grid{stroke:var(--grid);stroke-width:1}.chart-line{fill:none;stroke-width:2;"
    "stroke-linejoin:round}\n"
    ".chart-area{opacity:.14}\n"
    ".chart-s0{stroke:var(--s0)}.chart-s1{stroke:var(--s1);stroke-dasharray:6 3}"
    ".chart-s2{stroke:var(--s2);stroke-dasharray:2 3}.chart-s3{stroke:var(--s3);"
    "stroke-dasharray:8 3 2 3}\n"
    ".chart-f0{fill:var(--s0)}.chart-f1{fill:var(--s1)}.chart-f2{fill:var(--s2)}"
    ".chart-f3{fill:var(--s3)}\n"
)


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart.

    Attributes:
        name: The text in the legend.
        points: Pairs of a time in seconds and a value >= 0, sorted by time.
    """

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: series that share a scale. Colours repeat after four series."""

    title: str
    series: Sequence[Series]


def step_chart(
    panels: Sequence[Panel],
    *,
    title: str,
    span: tuple[float, float],
    label_of: Callable[[float], str] | None = None,
    panel_height: int = 120,
    standalone: bool = False,
    bare_width: int | None = None,
    gap_s: float = math.inf,
) -> str:
    """Draw panels below each other on a common time axis.

    Args:
        panels: The panels, at least one.
        title: The accessible title; also drawn if `standalone`.
        span: Start and end of the time axis, in seconds.
        label_of: Formats a time on the axis; by default the time since the start of the span.
        panel_height: Height of one panel's plot, in SVG user units.
        standalone: Whether to draw a file of its own, with its style sheet and its title.
        bare_width: Draw at this width without titles and legends, for a page that has its own.
        gap_s: Samples more than this many seconds apart are not connected.

    Returns:
        An ``<svg>`` element that fills the width of its container.
    """
    start, end = span[0], max(span[1], span[0] + 1e-3)
    top = BARE_TOP if bare_width else TOP + (22 if standalone else 0)
    height = top + len(panels) * (panel_height + GAP) - GAP + BOTTOM
    canvas = _Canvas(start, end, panel_height, bare_width, gap_s)
    parts = [*_head(title, panels, (bare_width or WIDTH, height), standalone=standalone)]
    for row, panel in enumerate(panels):
        parts += canvas.panel(panel, top + row * (panel_height + GAP))
    parts += canvas.times(label_of or (lambda at: _duration(at - start)), height - BOTTOM)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def nice_step(most: float, about: int, nice: Sequence[float] = _NICE) -> float:
    """Return a round step for an axis.

    Args:
        most: The axis goes from 0 to this value.
        about: The desired number of steps; there are at most twice as many.
        nice: The steps to choose from; by default 1, 2 and 5 times a power of ten.
    """
    wanted = most / max(1, about)
    if wanted <= 0:
        return nice[0]
    if nice is not _NICE:
        index = bisect_left(nice, wanted)
        if index < len(nice):
            return nice[index]
        return nice[-1] * math.ceil(wanted / nice[-1])
    power = 10.0 ** math.floor(math.log10(wanted))
    return power * next(step for step in nice if step * power >= wanted * (1 - 1e-9))


class _Canvas:
    """Maps times and values to SVG coordinates."""

    def __init__(
        self, start: float, end: float, panel_height: int, bare_width: int | None, gap_s: float
    ) -> None:
        self._start = start
        self._end = end
        self._height = panel_height
        self._is_bare = bare_width is not None
        self._left = BARE_LEFT if bare_width else LEFT
        self._right = bare_width - BARE_RIGHT if bare_width else WIDTH - RIGHT
        self._gap_s = gap_s

    def panel(self, panel: Panel, top: float) -> Iterator[str]:
        """Draw one panel, whose plot starts at `top`."""
        most = max((value for line in panel.series for _, value in line.points), default=0.0)
        step = max(1.0, nice_step(most, 4)) if most >= 1 or most == 0 else nice_step(most, 4)
        full = max(step, step * math.ceil(most / step - 1e-9))
        if not self._is_bare:
            name = escape(panel.title)
            yield f'<text class="chart-title" x="{LEFT}" y="{top - 10:g}">{name}</text>'
            yield from self._legend(panel, top - 10)
        for tick in range(round(full / step) + 1):
            y = self._y(tick * step, full, top)
            yield f'<path class="chart-grid" d="M{self._left} {y:.1f}H{self._right}"/>'
            text = _number(tick * step)
            yield (
                f'<text class="chart-text" x="{self._left - 6}" y="{y + 4:.1f}" '
                f'text-anchor="end">{text}</text>'
            )
        for index, series in enumerate(panel.series):
            yield from self._series(series, index % SERIES_CLASSES, full, top)

    def times(self, label_of: Callable[[float], str], bottom: float) -> Iterator[str]:
        """Draw the labels of the time axis."""
        about = max(4, int((self._right - self._left) / MARK_WIDTH))
        step = nice_step(self._end - self._start, about, _NICE_TIMES_S)
        if self._end - self._start < 2 * _NICE_TIMES_S[0]:
            step = nice_step(self._end - self._start, 4)
        # Times of day are rounded; durations count from the start of the span.
        first = -(-self._start // step) * step if self._is_bare else self._start
        for mark in range(int((self._end - first) / step + 1e-9) + 1):
            at = first + mark * step
            x = self._x(at)
            anchor = "end" if self._is_bare and x > self._right - MARK_WIDTH / 5 else "middle"
            yield (
                f'<text class="chart-text" x="{x:.1f}" y="{bottom + 18:g}" '
                f'text-anchor="{anchor}" data-at="{at:.0f}">{escape(label_of(at))}</text>'
            )

    def _series(self, series: Series, colour: int, full: float, top: float) -> Iterator[str]:
        base = top + self._height
        line, area = "", ""
        for piece in self._pieces(self._visible(series.points)):
            points = _thin(piece)
            path = f"M{self._x(points[0][0]):.1f} {self._y(points[0][1], full, top):.1f}"
            for at, value in points[1:]:
                path += f"H{self._x(at):.1f}V{self._y(value, full, top):.1f}"
            path += f"H{self._x(min(self._end, piece[-1][0] + self._gap_s)):.1f}"
            line += path
            area += f"{path}V{base:g}H{self._x(points[0][0]):.1f}Z"
        if line:
            yield f'<path class="chart-area chart-f{colour}" d="{area}"/>'
            yield f'<path class="chart-line chart-s{colour}" d="{line}"/>'

    def _pieces(self, points: Sequence[Point]) -> list[Sequence[Point]]:
        """Split the points at gaps."""
        cuts = [
            index
            for index, (before, after) in enumerate(pairwise(points), 1)
            if after[0] - before[0] > self._gap_s
        ]
        bounds = [0, *cuts, len(points)]
        return [points[start:end] for start, end in pairwise(bounds) if start < end]

    def _visible(self, points: Sequence[Point]) -> list[Point]:
        """Clip points to the span; the last value before it holds at its start."""
        inside = [point for point in points if self._start <= point[0] <= self._end]
        before = [point for point in points if self._start - self._gap_s <= point[0] < self._start]
        return [(self._start, before[-1][1]), *inside] if before else inside

    def _legend(self, panel: Panel, y: float) -> Iterator[str]:
        names = (
            f'<tspan class="chart-f{index % SERIES_CLASSES}" dx="{14 if index else 0}">'
            f"\u25a0</tspan> {escape(series.name)}"
            for index, series in enumerate(panel.series)
        )
        yield (
            f'<text class="chart-text" x="{WIDTH - RIGHT}" y="{y:g}" text-anchor="end">'
            f"{''.join(names)}</text>"
        )

    def _x(self, at: float) -> float:
        share = (min(max(at, self._start), self._end) - self._start) / (self._end - self._start)
        return self._left + share * (self._right - self._left)

    def _y(self, value: float, full: float, top: float) -> float:
        return top + self._height * (1 - max(0.0, value) / full)


def _head(
    title: str, panels: Sequence[Panel], size: tuple[float, float], *, standalone: bool
) -> Iterator[str]:
    width, height = size
    space = ' xmlns="http://www.w3.org/2000/svg"' if standalone else ""
    yield (f'<svg{space} class="chart" role="img" viewBox="0 0 {width:g} {height:g}" width="100%">')
    yield f"<title>{escape(title)}</title>"
    yield f"<desc>{escape(' '.join(map(_describe, panels)))}</desc>"
    if standalone:
        yield f"<style>{STYLE}</style>"
        yield f'<rect class="chart-paper" width="{WIDTH}" height="{height:g}"/>'
        yield f'<text class="chart-title" x="{LEFT}" y="20">{escape(title)}</text>'


def _describe(panel: Panel) -> str:
    """Describe a panel in words, for screen readers."""
    lines = [
        f"{series.name}: {_number(max(value for _, value in series.points))} at most, "
        f"{_number(series.points[-1][1])} in the end"
        for series in panel.series
        if series.points
    ]
    return f"{panel.title}: {'; '.join(lines) or 'no samples'}."


def _thin(points: Sequence[Point]) -> list[Point]:
    """Remove points that would not be visible; of each group the maximum stays."""
    steps = list(points[:1])
    steps += [after for before, after in pairwise(points) if before[1] != after[1]]
    if len(steps) <= MAX_STEPS:
        return steps
    size = math.ceil(len(steps) / MAX_STEPS)
    groups = [steps[start : start + size] for start in range(0, len(steps), size)]
    return [(group[0][0], max(value for _, value in group)) for group in groups]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.3g}"


def _duration(seconds: float) -> str:
    if seconds < MINUTE_S:
        return f"{seconds:.3g} s"
    if seconds < HOUR_S:
        return f"{seconds / MINUTE_S:.3g} min"
    return f"{seconds / HOUR_S:.3g} h"
