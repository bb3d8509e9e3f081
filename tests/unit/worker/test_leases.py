"""Leases are extended while their messages are worked on, and only then."""

import time
from collections.abc import Sequence

from iraas.backends.memory import MemoryQueue
from iraas.core.ports import OutboundMessage
from iraas.errors import BackendUnavailableError
from iraas.worker.leases import LeaseExtender
from tests.waiting import wait_until

LEASE_S = 0.15


class WatchedQueue(MemoryQueue):
    """A queue that records the extended leases, and fails a number of times."""

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


def test_a_lease_is_extended_past_its_first_period() -> None:
    queue = WatchedQueue()
    queue.send([OutboundMessage("a")])
    (message,) = queue.receive(1, lease_s=2.0)
    with LeaseExtender(queue, LEASE_S) as leases:
        leases.add([message.receipt])
        assert leases.receipts() == [message.receipt]
        wait_until(lambda: len(queue.extended) >= 3, "three extensions")
    assert queue.extended[0] == [message.receipt]


def test_a_removed_lease_is_not_extended() -> None:
    queue = WatchedQueue()
    with LeaseExtender(queue, LEASE_S) as leases:
        leases.add(["a", "b"])
        leases.remove(["a", "unknown"])
        assert leases.receipts() == ["b"]
        wait_until(lambda: len(queue.extended) >= 2, "two extensions")
        leases.remove(["b"])
    assert all(receipts == ["b"] for receipts in queue.extended)


def test_without_leases_the_queue_is_not_called() -> None:
    queue = WatchedQueue()
    with LeaseExtender(queue, 0.03) as leases:
        leases._stopped.wait(0.1)
    assert queue.extended == []


def test_a_failed_extension_is_retried() -> None:
    queue = WatchedQueue()
    queue.failures = 1
    with LeaseExtender(queue, LEASE_S) as leases:
        leases.add(["a"])
        wait_until(lambda: len(queue.extended) >= 2, "a second try")


def test_after_closing_nothing_is_extended() -> None:
    queue = WatchedQueue()
    extender = LeaseExtender(queue, LEASE_S)
    with extender as leases:
        leases.add(["a"])
    assert not extender._thread.is_alive()
