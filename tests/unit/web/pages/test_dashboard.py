"""The charts of the dashboard and their descriptions in words."""

import re

from iraas.core.records import ScalingDecision
from iraas.monitoring.history import Sample
from iraas.web.pages.dashboard import GAP_S, area_under, draw_charts, merged, up_to_now

NOON = 1_795_348_800.0
SPAN = (NOON - 900, NOON)


def sample(at: float, visible: int = 0, done: int = 0, rate: float = 0.0) -> Sample:
    return Sample(NOON + at, visible, 0, 0, {"running": 2}, done, rate)


def queue_line(*samples: Sample, span: tuple[float, float] = SPAN) -> str:
    svg = str(draw_charts(samples, span)[0].svg)
    found = re.search(r'class="chart-line chart-s0" d="([^"]*)"', svg)
    return found[1] if found else ""


def test_a_chart_describes_its_lines_in_words() -> None:
    queue, workers, pace = draw_charts([sample(-60, 7), sample(-30, 3)], SPAN)

    waiting = queue.lines[0]
    assert (waiting.name, waiting.latest, waiting.most) == ("waiting", 3.0, 7.0)
    assert [one.name for one in workers.lines] == ["running", "starting", "leaving"]
    assert workers.lines[0].latest == 2.0
    assert pace.lines[0].most == 0.0


def test_without_samples_nothing_is_drawn_or_described() -> None:
    chart = draw_charts([], SPAN)[0]

    assert "chart-line" not in chart.svg
    assert chart.lines[0].latest is None


def test_a_chart_in_the_page_repeats_neither_title_nor_legend() -> None:
    svg = str(draw_charts([sample(-60, 7)], SPAN)[0].svg)

    assert "chart-title" not in svg
    assert "■" not in svg
    assert 'viewBox="0 0 380 ' in svg


def test_times_of_day_are_round_and_say_which_moment_they_are() -> None:
    svg = str(draw_charts([sample(-60, 7)], SPAN)[0].svg)

    marks = re.findall(r'data-at="(\d+)">(\d\d:\d\d)<', svg)
    assert [text for _, text in marks] == ["11:45", "11:50", "11:55", "12:00"]
    assert [int(at) % 300 for at, _ in marks] == [0, 0, 0, 0]


def test_gaps_between_samples_are_left_out() -> None:
    span = (NOON - 10 * GAP_S, NOON)
    line = queue_line(
        sample(-5 * GAP_S, 7), sample(-2 * GAP_S, 3), sample(-1.5 * GAP_S, 4), span=span
    )

    assert line.count("M") == 2
    ends = [float(one) for one in re.findall(r"H([0-9.]+)", line)]
    assert max(ends) < 378.0


def test_the_current_sample_ends_the_chart_with_a_measured_rate() -> None:
    found = up_to_now([sample(-30, done=10), sample(-10, done=20, rate=1.5)], sample(0, 4, done=60))

    assert found[-1].visible == 4
    assert found[-1].images_per_s == 4.0


def test_a_current_sample_too_close_to_the_last_keeps_its_rate() -> None:
    found = up_to_now([sample(-1, done=20, rate=1.5)], sample(0, done=60, rate=99.0))

    assert found[-1].images_per_s == 1.5


def test_a_current_sample_older_than_the_history_is_not_repeated() -> None:
    past = [sample(-30), sample(0)]

    assert up_to_now(past, sample(-1)) == past


def test_worker_hours_do_not_grow_during_gaps() -> None:
    assert area_under([(0.0, 2.0), (100.0, 1.0), (100.0 + 2 * GAP_S, 5.0)]) == 200.0


def decision(at: float, launched: int, **removed: str) -> ScalingDecision:
    return ScalingDecision(
        NOON + at, 9, 0, 0, 0, 0, launched, launched, f"{launched} more", removed
    )


def test_decisions_of_one_second_are_one() -> None:
    found = merged([decision(5.9, 2, b="idle"), decision(5.1, 1, a="idle"), decision(4.9, 3)])

    assert [(one.launched, one.reason) for one in found] == [(3, "2 more"), (3, "3 more")]
    assert found[0].removed == {"a": "idle", "b": "idle"}
