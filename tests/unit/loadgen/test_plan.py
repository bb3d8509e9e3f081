"""The due times of the requests of an open loop."""

import itertools
from dataclasses import replace
from random import Random

import pytest

from iraas.loadgen.plan import LoadPlan, due_times

PLAN = LoadPlan(requests=None, duration_s=None, in_flight=1, timeout_s=1, rate_per_s=4.0)


def test_fixed_arrivals_are_evenly_spaced_from_the_start() -> None:
    due = list(due_times(replace(PLAN, requests=4, arrivals="fixed"), Random(0)))

    assert due == [0.0, 0.25, 0.5, 0.75]


def test_no_request_is_due_at_or_after_the_end() -> None:
    due = list(due_times(replace(PLAN, duration_s=1.0, arrivals="fixed"), Random(0)))

    assert due == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("seed", range(5))
def test_poisson_arrivals_come_at_the_rate_with_random_gaps(seed: int) -> None:
    due = list(itertools.islice(due_times(PLAN, Random(seed)), 4001))
    gaps = [after - before for before, after in itertools.pairwise(due)]
    mean = sum(gaps) / len(gaps)
    variance = sum((one - mean) ** 2 for one in gaps) / len(gaps)

    assert due[0] == 0.0
    assert mean == pytest.approx(0.25, rel=0.06)
    # The gaps of a Poisson process are exponential: as spread as they are long.
    assert variance**0.5 == pytest.approx(mean, rel=0.1)


def test_whichever_bound_comes_first_ends_the_load() -> None:
    by_count = replace(PLAN, requests=2, duration_s=10.0, arrivals="fixed")
    by_time = replace(PLAN, requests=100, duration_s=0.6, arrivals="fixed")

    assert len(list(due_times(by_count, Random(0)))) == 2
    assert len(list(due_times(by_time, Random(0)))) == 3
