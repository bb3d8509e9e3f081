"""The history of a deployment."""

import pytest

from iraas.core.keys import HISTORY
from iraas.core.ports import QueueDepth
from iraas.monitoring.history import History, Sample
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture
def backend(clock: Clock) -> FlakyBackend:
    return FlakyBackend(clock)


def sample(at: float, done: int = 0, visible: int = 1) -> Sample:
    return Sample(at, visible, 0, 0, {"running": 1} if visible else {}, done)


def take(history: History, clock: Clock, minutes: int, visible: int = 1) -> list[float]:
    times = []
    for _ in range(12 * minutes):
        times.append(clock())
        history.record(sample(clock(), visible=visible))
        clock.advance(5)
    return times


def test_samples_outlive_their_process(backend: FlakyBackend, clock: Clock) -> None:
    since = clock()
    history = History(backend, clock)
    times = take(history, clock, 3)
    history.flush()
    assert [one.at for one in History(backend, clock).samples(since)] == times


def test_a_killed_process_loses_less_than_two_minutes(backend: FlakyBackend, clock: Clock) -> None:
    since = clock()
    times = take(History(backend, clock), clock, 5)
    found = [one.at for one in History(backend, clock).samples(since)]
    assert found == times[: len(found)]
    assert len(found) >= len(times) - 24


def test_samples_not_stored_yet_are_included(backend: FlakyBackend, clock: Clock) -> None:
    history = History(backend, clock)
    since = clock()
    times = take(history, clock, 2)
    assert [one.at for one in history.samples(since)] == times
    assert [one.at for one in history.samples(times[7])] == times[7:]


def test_two_processes_merge_their_minutes(backend: FlakyBackend, clock: Clock) -> None:
    since = clock()
    one, other = History(backend, clock), History(backend, clock)
    for _ in range(20):
        one.record(sample(clock()))
        other.record(sample(clock() + 1))
        clock.advance(5)
    one.flush()
    other.flush()
    assert len(History(backend, clock).samples(since)) == 40


def test_the_pace_is_what_was_done_since_the_last_sample(
    backend: FlakyBackend, clock: Clock
) -> None:
    history = History(backend, clock)
    for at, done in ((0, 0), (5, 50), (10, 50), (15, 40)):
        history.record(sample(clock() + at, done))
    assert [one.images_per_s for one in history.samples(clock())] == [0, 10, 0, 0]


def test_a_burst_between_two_samples_keeps_its_peak(backend: FlakyBackend, clock: Clock) -> None:
    history = History(backend, clock)
    history.record(sample(clock(), visible=0))
    for depth in (QueueDepth(4, 8, 0), QueueDepth(12, 1, 0), QueueDepth(1, 2, 0)):
        history.record_depth(depth)
    history.record(sample(clock() + 5, visible=1))
    history.record(sample(clock() + 10, visible=2))
    seen = [(one.visible, one.in_flight) for one in history.samples(clock())]
    assert seen == [(0, 0), (12, 8), (2, 0)]


def test_while_nothing_happens_hardly_anything_is_stored(
    backend: FlakyBackend, clock: Clock
) -> None:
    take(History(backend, clock), clock, 60, visible=0)
    assert len(list(backend.records.list(HISTORY))) <= 7


def test_old_samples_are_removed(backend: FlakyBackend, clock: Clock) -> None:
    history = History(backend, clock)
    begin = clock()
    take(history, clock, 10)
    history.flush()
    assert history.prune(begin + 300) == 5
    assert min(one.at for one in History(backend, clock).samples(0)) == begin + 300


def test_a_corrupt_minute_is_an_empty_one(backend: FlakyBackend, clock: Clock) -> None:
    history = History(backend, clock)
    take(history, clock, 3)
    first = next(iter(backend.records.list(HISTORY))).key
    backend.records.put(first, b"[{]")
    assert len(History(backend, clock).samples(0)) == 12


def test_failed_writes_of_samples_are_retried(backend: FlakyBackend, clock: Clock) -> None:
    history = History(backend, clock)
    since = clock()
    times = take(history, clock, 1)
    backend.records.failures = 1
    with pytest.raises(Exception, match="unavailable"):
        history.record(sample(clock()))
    clock.advance(5)
    history.record(sample(clock()))
    history.flush()
    found = [one.at for one in History(backend, clock).samples(since)]
    assert found[: len(times)] == times
    assert len(found) == len(times) + 2
