"""Exponential backoff for consecutive failures."""

from iraas.core.backoff import Backoff
from tests.fakes.clock import Clock


def test_each_failure_doubles_the_wait_up_to_a_bound() -> None:
    clock = Clock()
    brake = Backoff(clock, first_s=2.0, longest_s=10.0)
    waits = []
    for _ in range(4):
        brake.record_failure("no")
        waits.append(brake.remaining_s)
    assert waits == [2.0, 4.0, 8.0, 10.0]
    assert (brake.consecutive_failures, brake.reason) == (4, "no")


def test_a_wait_passes() -> None:
    clock = Clock()
    brake = Backoff(clock, first_s=2.0, longest_s=10.0)
    assert brake.remaining_s == 0.0
    brake.record_failure("no")
    clock.advance(1.5)
    assert brake.remaining_s == 0.5
    clock.advance(1.5)
    assert brake.remaining_s == 0.0


def test_a_success_resets_the_failures() -> None:
    brake = Backoff(Clock(), first_s=2.0, longest_s=10.0)
    brake.record_failure("no")
    brake.reset()
    assert (brake.consecutive_failures, brake.reason, brake.remaining_s) == (0, "", 0.0)


def test_any_number_of_consecutive_failures_is_allowed() -> None:
    brake = Backoff(Clock(), first_s=2.0, longest_s=10.0)
    for _ in range(5000):
        brake.record_failure("no")
    assert brake.remaining_s == 10.0
