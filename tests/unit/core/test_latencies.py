"""Percentiles and histograms."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.core.latencies import histogram, percentile

TIMES = st.lists(st.floats(0, 1e5, allow_nan=False), min_size=1, max_size=200).map(sorted)


def test_a_percentile_is_the_nearest_rank() -> None:
    values = [float(one) for one in range(1, 101)]

    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile(values, 99.5) == 100
    assert percentile([7.0], 50) == 7
    assert percentile([1.0, 2.0], 50) == 1


def test_nothing_has_no_percentiles() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)
    with pytest.raises(ValueError, match="0 is not a percentile"):
        percentile([1.0], 0)


@given(TIMES, st.floats(0.1, 100))
def test_so_many_percent_do_not_exceed_a_percentile_and_no_smaller_value_does_it(
    values: list[float], percent: float
) -> None:
    found = percentile(values, percent)

    assert found in values
    assert sum(one <= found for one in values) >= percent / 100 * len(values) - 1e-6
    assert sum(one < found for one in values) < percent / 100 * len(values)


@given(TIMES)
def test_a_histogram_counts_every_value_once_in_adjacent_bars(values: list[float]) -> None:
    bars = histogram(values)

    assert sum(one.count for one in bars) == len(values)
    assert len(bars) <= 36
    assert all(one.from_s < one.to_s for one in bars)
    assert all(one.to_s == after.from_s for one, after in itertools.pairwise(bars))


@given(TIMES)
def test_every_value_lies_between_the_bounds_of_its_bar(values: list[float]) -> None:
    for bar in histogram(values):
        inside = [one for one in values if bar.from_s <= max(one, 1e-6) < bar.to_s]
        assert bar.count == len(inside)


def test_narrow_latencies_get_equal_steps() -> None:
    bars = histogram([0.1 + 0.001 * one for one in range(100)])

    widths = {round(one.to_s - one.from_s, 9) for one in bars}
    assert widths == {0.01}
    assert len(bars) == 10


def test_wide_latencies_get_bounds_that_grow() -> None:
    bars = histogram([0.01, 0.1, 1.0, 10.0, 100.0])

    widths = [one.to_s - one.from_s for one in bars]
    assert widths == sorted(widths)
    assert len(bars) <= 13


@pytest.mark.parametrize(
    "values", [[0.127], [0.1268, 0.1272], [0.1266, 0.1269, 0.1271], [1.501, 1.502], [0.0, 0.0]]
)
def test_a_few_values_close_together_make_bars_that_read_differently(values: list[float]) -> None:
    bars = histogram(values)

    assert len(bars) <= 3
    assert all(f"{one.from_s:.3g}" != f"{one.to_s:.3g}" for one in bars)


def test_no_values_make_no_bars() -> None:
    assert histogram([]) == []
