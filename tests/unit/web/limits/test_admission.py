"""Room: for one client, and for all."""

import pytest

from iraas.web.config import WebConfig
from iraas.web.limits.admission import MAX_CLIENTS, BacklogLimiter, MemoryBudget, RateLimiter
from iraas.web.problems import Problem
from tests.fakes.scripted import Clock


def test_a_client_has_a_burst_and_then_its_rate() -> None:
    clock = Clock(0.0)
    limiter = RateLimiter(2.0, 3, clock)
    assert [limiter.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limiter.take("b") == 0
    clock.advance(0.5)
    assert limiter.take("a") == 0
    assert limiter.take("a") > 0
    clock.advance(100)
    assert [limiter.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_no_number_of_clients_fills_the_memory() -> None:
    limiter = RateLimiter(1.0, 1, Clock(0.0))
    for number in range(MAX_CLIENTS + 100):
        limiter.take(str(number))
    assert len(limiter._buckets) == MAX_CLIENTS


def test_buffers_are_given_back_whatever_happens() -> None:
    budget = MemoryBudget(100)
    with budget.lease() as lease:
        lease.grow(60)
        with pytest.raises(Problem) as caught:
            lease.grow(60)
    assert caught.value.status == 429
    with budget.lease() as lease:
        lease.grow(100)
        lease.shrink(1000)
        lease.grow(100)


def test_what_was_accepted_since_the_last_sample_counts_too() -> None:
    admission = BacklogLimiter(WebConfig(max_pending=10))
    admission.accept(6)
    before = admission.accepted
    admission.accept(2)  # while the queue was being asked
    admission.sampled(5, before)  # one of the six has its outcome
    assert admission.pending == 7
    admission.accept(3)
    assert admission.is_full
    with pytest.raises(Problem) as caught:
        admission.check()
    assert caught.value.status == 429
    admission.sampled(0, admission.accepted)
    admission.check()


def test_what_is_let_in_counts_until_it_is_on_the_queue_or_given_up() -> None:
    admission = BacklogLimiter(WebConfig(max_pending=10))
    with admission.take(8) as first:
        admission.sampled(0, admission.accepted)
        assert admission.pending == 8
        first.sent(5)
        assert (admission.pending, admission.accepted) == (8, 5)
        with admission.take(9):  # the last one may pass the bound, with what it holds
            assert admission.pending == 17
            with pytest.raises(Problem):
                admission.take(1)
        assert admission.pending == 8
    assert admission.pending == 5
    first.sent(1)  # its requester left before it was known
    assert admission.pending == 6
    admission.sampled(6, admission.accepted)
    assert admission.pending == 6


def test_the_retry_time_follows_the_pace() -> None:
    admission = BacklogLimiter(WebConfig(max_pending=1000))
    admission.sampled(1000, 0)
    admission.moves_at(10.0)
    assert admission.full().headers["Retry-After"] == "10"
    admission.moves_at(0.01)
    assert admission.full().headers["Retry-After"] == "60"
