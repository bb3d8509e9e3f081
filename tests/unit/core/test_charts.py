"""Step charts: well-formed, true to their samples, and safe to put into a page."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from iraas.core.charts import MAX_STEPS, Panel, Point, Series, nice_step, step_chart

POINTS = st.lists(
    st.tuples(st.floats(0, 1e6, allow_nan=False), st.floats(0, 1e9, allow_nan=False)), max_size=30
).map(sorted)


def chart(points: Sequence[Point], *, standalone: bool = True, name: str = "waiting") -> str:
    panels = [Panel("Queue", [Series(name, points)])]
    return step_chart(panels, title="A run", span=(0.0, 10.0), standalone=standalone)


def line_of(svg: str) -> str:
    found = re.search(r'class="chart-line chart-s0" d="([^"]+)"', svg)
    assert found is not None
    return found[1]


def test_a_value_holds_until_the_next_sample() -> None:
    path = line_of(chart([(0.0, 0.0), (5.0, 4.0)]))

    start, step, end = re.findall(r"[MHV][-0-9. ]+", path)[0], path.split("H")[1], path[-6:]
    assert start.startswith("M56.0 ")
    assert step.startswith("400.0V")
    assert end == "H744.0"


def test_a_value_from_before_the_span_holds_at_its_beginning() -> None:
    assert line_of(chart([(-5.0, 3.0), (20.0, 1.0)])).startswith("M56.0 ")


def test_names_cannot_break_out_of_the_text() -> None:
    svg = chart([(0.0, 1.0)], name='<script>&"')

    assert "<script>" not in svg
    assert ET.fromstring(svg).find(".//script") is None


def test_a_chart_in_a_page_has_no_style_of_its_own() -> None:
    svg = chart([(0.0, 1.0)], standalone=False)

    assert "style" not in svg
    assert "xmlns" not in svg


def test_a_chart_says_in_words_what_it_shows() -> None:
    root = ET.fromstring(chart([(0.0, 7.0), (5.0, 2.0)]))
    description = root.findtext("{http://www.w3.org/2000/svg}desc")

    assert description == "Queue: waiting: 7 at most, 2 in the end."


def test_no_samples_make_an_empty_chart() -> None:
    svg = chart([])

    assert "no samples" in svg
    assert "chart-line chart-s" not in svg


def test_a_peak_survives_when_there_are_more_samples_than_can_be_seen() -> None:
    points = [(one / 1000, 1000.0 if one == 4567 else float(one % 2)) for one in range(10_000)]

    svg = chart(points)

    assert line_of(svg).count("V") <= MAX_STEPS
    assert "1,000 at most" in svg
    assert min(map(float, re.findall(r"V([0-9.]+)", line_of(svg)))) == 52.0


@given(POINTS, st.booleans())
def test_any_samples_make_a_well_formed_chart(points: list[Point], standalone: bool) -> None:
    svg = chart(points, standalone=standalone)

    ET.fromstring(svg)
    assert "nan" not in svg
    numbers = re.findall(r"[MHV]([0-9.]+)", svg)
    assert all(0 <= float(one) <= 800 for one in numbers)


@given(st.floats(1e-3, 1e9), st.integers(2, 8))
def test_steps_are_round_and_neither_too_many_nor_too_few(most: float, about: int) -> None:
    step = nice_step(most, about)

    assert 0 < most / step <= about * (1 + 1e-6)
    assert most / step > about / 2.6
    assert f"{step:.0e}"[0] in "125"
