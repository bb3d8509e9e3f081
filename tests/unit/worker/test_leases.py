"""Leases are kept alive while their messages are worked on, and only then."""

import time
from collections.abc import Sequence

from iraas.backends.memory import MemoryQueue
from iraas.core.ports import OutboundMessage
from iraas.errors import BackendUnavailableError
from iraas.worker.leases import LeaseKeeper
from tests.waiting import wait_until

LEASE_S = 0.15


class WatchedQueue(MemoryQueue):
    """A queue that notes which leases are extended, and fails a number of times."""

    def __init__(self) -> None:
        super().__init__(clock=time.monotonic)
        self.extended: list[list[str]] = []
        self.failures = 0

    def extend(self, receipts: Sequence[str], lease_s: float) -> None:
        self.extended.append(list(receipts))
        if self.failures:
            self.failures -= 1
            raise BackendUnavailableError("away")
        super().extend(receipts, lease_s)


def test_a_held_message_is_nobody_elses_past_its_first_lease() -> None:
    queue = WatchedQueue()
    queue.send([OutboundMessage("a")])
    (message,) = queue.receive(1, lease_s=2.0)
    with LeaseKeeper(queue, LEASE_S) as leases:
        leases.hold([message.receipt])
        assert leases.held() == [message.receipt]
        wait_until(lambda: len(queue.extended) >= 3, "three extensions")
    assert queue.extended[0] == [message.receipt]


def test_a_lease_that_was_let_go_is_not_extended() -> None:
    queue = WatchedQueue()
    with LeaseKeeper(queue, LEASE_S) as leases:
        leases.hold(["a", "b"])
        leases.let_go(["a", "unknown"])
        assert leases.held() == ["b"]
        wait_until(lambda: len(queue.extended) >= 2, "two extensions")
        leases.let_go(["b"])
    assert all(receipts == ["b"] for receipts in queue.extended)


def test_with_nothing_in_hand_the_queue_is_left_alone() -> None:
    queue = WatchedQueue()
    with LeaseKeeper(queue, 0.03) as leases:
        leases._stopped.wait(0.1)
    assert queue.extended == []


def test_an_extension_that_fails_is_tried_again() -> None:
    queue = WatchedQueue()
    queue.failures = 1
    with LeaseKeeper(queue, LEASE_S) as leases:
        leases.hold(["a"])
        wait_until(lambda: len(queue.extended) >= 2, "a second try")


def test_after_the_end_nothing_is_extended() -> None:
    queue = WatchedQueue()
    keeper = LeaseKeeper(queue, LEASE_S)
    with keeper as leases:
        leases.hold(["a"])
    assert not keeper._thread.is_alive()
