"""After each failure in a row the wait is twice as long."""

from iraas.core.backoff import Brake
from tests.fakes.scripted import Clock


def test_each_failure_doubles_the_wait_up_to_a_bound() -> None:
    clock = Clock()
    brake = Brake(clock, first_s=2.0, longest_s=10.0)
    waits = []
    for _ in range(4):
        brake.failed("no")
        waits.append(brake.left_s)
    assert waits == [2.0, 4.0, 8.0, 10.0]
    assert (brake.in_a_row, brake.reason) == (4, "no")


def test_a_wait_passes() -> None:
    clock = Clock()
    brake = Brake(clock, first_s=2.0, longest_s=10.0)
    assert brake.left_s == 0.0
    brake.failed("no")
    clock.advance(1.5)
    assert brake.left_s == 0.5
    clock.advance(1.5)
    assert brake.left_s == 0.0


def test_what_works_ends_the_row() -> None:
    brake = Brake(Clock(), first_s=2.0, longest_s=10.0)
    brake.failed("no")
    brake.worked()
    assert (brake.in_a_row, brake.reason, brake.left_s) == (0, "", 0.0)


def test_a_row_may_be_as_long_as_it_likes() -> None:
    brake = Brake(Clock(), first_s=2.0, longest_s=10.0)
    for _ in range(5000):
        brake.failed("no")
    assert brake.left_s == 10.0
