"""Rate and capacity limits, per client and in total."""

import pytest

from iraas.web.config import WebConfig
from iraas.web.limits.admission import MAX_CLIENTS, BacklogLimiter, RateLimiter
from iraas.web.limits.memory import MemoryBudget
from iraas.web.problems import Problem
from tests.fakes.clock import Clock


def test_a_client_has_a_burst_and_then_its_rate() -> None:
    clock = Clock(0.0)
    limiter = RateLimiter(2.0, 3, clock)
    assert [limiter.acquire("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limiter.acquire("b") == 0
    clock.advance(0.5)
    assert limiter.acquire("a") == 0
    assert limiter.acquire("a") > 0
    clock.advance(100)
    assert [limiter.acquire("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_no_number_of_clients_fills_the_memory() -> None:
    limiter = RateLimiter(1.0, 1, Clock(0.0))
    for number in range(MAX_CLIENTS + 100):
        limiter.acquire(str(number))
    assert len(limiter._buckets) == MAX_CLIENTS


def test_buffers_are_always_released() -> None:
    budget = MemoryBudget(100)
    with budget.reserve() as reservation:
        reservation.grow(60)
        with pytest.raises(Problem) as caught:
            reservation.grow(60)
    assert caught.value.status == 429
    with budget.reserve() as reservation:
        reservation.grow(100)
        reservation.shrink(1000)
        reservation.grow(100)


def test_images_accepted_since_the_last_sample_count() -> None:
    backlog = BacklogLimiter(WebConfig(max_pending=10))
    backlog.record_accepted(6)
    before = backlog.accepted
    backlog.record_accepted(2)  # while the queue was being asked
    backlog.record_depth(5, before)  # one of the six has its outcome
    assert backlog.pending == 7
    backlog.record_accepted(3)
    assert backlog.is_full
    with pytest.raises(Problem) as caught:
        backlog.check()
    assert caught.value.status == 429
    backlog.record_depth(0, backlog.accepted)
    backlog.check()


def test_admitted_images_count_until_they_are_queued_or_released() -> None:
    backlog = BacklogLimiter(WebConfig(max_pending=10))
    with backlog.admit(8) as first:
        backlog.record_depth(0, backlog.accepted)
        assert backlog.pending == 8
        first.record_sent(5)
        assert (backlog.pending, backlog.accepted) == (8, 5)
        with backlog.admit(9):  # the last one may pass the bound, with what it holds
            assert backlog.pending == 17
            with pytest.raises(Problem):
                backlog.admit(1)
        assert backlog.pending == 8
    assert backlog.pending == 5
    first.record_sent(1)  # its requester left before it was known
    assert backlog.pending == 6
    backlog.record_depth(6, backlog.accepted)
    assert backlog.pending == 6


def test_the_retry_time_follows_the_pace() -> None:
    backlog = BacklogLimiter(WebConfig(max_pending=1000))
    backlog.record_depth(1000, 0)
    backlog.record_rate(10.0)
    assert backlog.full_problem().headers["Retry-After"] == "10"
    backlog.record_rate(0.01)
    assert backlog.full_problem().headers["Retry-After"] == "60"
