"""Queues in memory, with the delivery semantics and the fairness of the real ones."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from iraas.backends.memory.messages import Messages
from iraas.core.ids import is_plain_name
from iraas.core.ports import MAX_BATCH, OutboundMessage, QueueDepth, ReceivedMessage
from iraas.errors import MessageTooLargeError, QueueNotFoundError

_POLL_INTERVAL_S = 0.02
"""The longest wait between two readings of the clock, which tests may advance."""


class MemoryQueue:
    """The `Queue` port in memory. Thread-safe."""

    def __init__(
        self,
        *,
        max_receives: int | None = None,
        dead_letters: "MemoryQueue | None" = None,
        max_body_bytes: int = 2**20,
        clock: Callable[[], float] = time.time,
        messages: Callable[[], Messages] | None = None,
    ) -> None:
        """Make an empty queue.

        Args:
            max_receives: How often a message is delivered before it becomes a dead letter, at
                least 1; None for no limit.
            dead_letters: The queue of the dead letters; set both or none.
            max_body_bytes: The longest body, in bytes of UTF-8.
            clock: Returns the time in seconds, for leases and delays.
            messages: Returns the messages, for queues that share them.

        Raises:
            ValueError: Only one of `max_receives` and `dead_letters` is set, or the former is 0.
        """
        if (max_receives is None) != (dead_letters is None) or max_receives == 0:
            raise ValueError("max_receives (at least 1) and dead_letters go together")
        own = Messages()
        self._messages = messages or (lambda: own)
        self._max_receives = max_receives
        self._dead_letters = dead_letters
        self._max_body_bytes = max_body_bytes
        self._clock = clock

    @property
    def max_body_bytes(self) -> int:
        """The longest body, in bytes of UTF-8."""
        return self._max_body_bytes

    @property
    def depth_lag_s(self) -> float:
        """0: the counts are exact."""
        return 0.0

    def send(self, messages: Sequence[OutboundMessage]) -> None:
        """Send messages. See `iraas.core.ports.Queue.send`."""
        for message in messages:
            _check_range("delay_s", message.delay_s, 900.0)
            if len(message.body.encode()) > self._max_body_bytes:
                raise MessageTooLargeError(
                    f"a message of {len(message.body.encode()):,} bytes is over the queue's limit "
                    f"of {self._max_body_bytes:,} bytes"
                )
        held = self._messages()
        with held.changed:
            for message in messages:
                held.add(message, self._clock())
            held.changed.notify_all()

    def receive(
        self, max_messages: int, *, lease_s: float, wait_s: float = 0.0
    ) -> list[ReceivedMessage]:
        """Receive messages under lease. See `iraas.core.ports.Queue.receive`."""
        if not 1 <= max_messages <= MAX_BATCH:
            raise ValueError(f"max_messages is {max_messages}, not in 1..{MAX_BATCH}")
        _check_range("lease_s", lease_s, 43_200.0)
        _check_range("wait_s", wait_s, 20.0)
        deadline = time.monotonic() + wait_s
        while True:
            held = self._messages()
            with held.changed:
                held.received_at = self._clock()
                received = self._claim(held, max_messages, lease_s)
                left_s = deadline - time.monotonic()
                if received or left_s <= 0:
                    return received
                held.changed.wait(min(left_s, _POLL_INTERVAL_S))

    def delete(self, receipts: Sequence[str], took_s: Sequence[float] | None = None) -> None:
        """Delete messages. See `iraas.core.ports.Queue.delete`."""
        reported = [None] * len(receipts) if took_s is None else took_s
        held = self._messages()
        with held.changed:
            found = {
                number: seconds
                for receipt, seconds in zip(receipts, reported, strict=True)
                if (number := held.find(receipt)) is not None
            }
            held.settle(list(found.items()), self._clock())
            for number in found:
                held.drop(number)

    def extend(self, receipts: Sequence[str], lease_s: float) -> None:
        """Extend leases to `lease_s` seconds from now. See `iraas.core.ports.Queue.extend`."""
        _check_range("lease_s", lease_s, 43_200.0)
        held = self._messages()
        with held.changed:
            for receipt in receipts:
                number = held.find(receipt)
                if number is not None:
                    held.hide_again(number, self._clock(), self._clock() + lease_s)

    def release(self, receipts: Sequence[str]) -> None:
        """End leases now. See `iraas.core.ports.Queue.release`."""
        held = self._messages()
        with held.changed:
            numbers = {held.find(receipt) for receipt in receipts}
            leased = [n for n in numbers if n is not None and held.entries[n].is_leased]
            held.settle([(number, None) for number in leased], self._clock())
            for number in leased:
                held.show(number)
            held.changed.notify_all()

    def depth(self) -> QueueDepth:
        """Count the messages exactly. See `iraas.core.ports.Queue.depth`."""
        held = self._messages()
        with held.changed:
            held.end_due(self._clock())
            return held.count()

    def clear(self) -> None:
        """Remove all messages."""
        held = self._messages()
        with held.changed:
            for number in list(held.entries):
                held.drop(number)

    def _claim(self, held: Messages, count: int, lease_s: float) -> list[ReceivedMessage]:
        now = self._clock()
        held.end_due(now)
        received: list[ReceivedMessage] = []
        while len(received) < count and (number := held.pop()) is not None:
            entry = held.entries[number]
            message = entry.message
            if self._dead_letters and entry.receive_count >= (self._max_receives or 0):
                self._dead_letters.send([replace(message, delay_s=0.0)])
                held.drop(number)
                continue
            entry.receive_count += 1
            entry.received = now
            entry.claim = f"{number}-{entry.receive_count}"
            held.hide(number, now + lease_s)
            received.append(
                ReceivedMessage(message.body, entry.claim, entry.receive_count, message.note)
            )
        return received


class MemoryResponseQueues:
    """The `ResponseQueues` port in memory. Thread-safe."""

    def __init__(
        self, *, max_body_bytes: int = 2**20, clock: Callable[[], float] = time.time
    ) -> None:
        """Start without queues.

        Args:
            max_body_bytes: The longest body of a reply, in bytes of UTF-8.
            clock: Returns the time in seconds.
        """
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._held: dict[str, Messages] = {}

    def create(self, requester_id: str) -> MemoryQueue:
        """Make a requester's queue if it is missing. Idempotent."""
        _check_requester(requester_id)
        self._held.setdefault(requester_id, Messages()).received_at = self._clock()
        return self.find(requester_id)

    def find(self, requester_id: str) -> MemoryQueue:
        """The queue of a requester; its methods raise QueueNotFoundError if there is none."""
        _check_requester(requester_id)

        def messages() -> Messages:
            try:
                return self._held[requester_id]
            except KeyError as exc:
                raise QueueNotFoundError(f"{requester_id} has no response queue") from exc

        return MemoryQueue(
            max_body_bytes=self._max_body_bytes, clock=self._clock, messages=messages
        )

    def delete(self, requester_id: str) -> None:
        """Remove a requester's queue with all in it. Idempotent."""
        _check_requester(requester_id)
        self._held.pop(requester_id, None)

    def sweep(self, ttl_s: float) -> list[str]:
        """Remove the queues that were not received from for `ttl_s` seconds.

        Returns:
            Their requesters' ids, sorted.
        """
        now = self._clock()
        swept = [name for name, held in self._held.items() if now - held.received_at >= ttl_s]
        for requester_id in swept:
            self._held.pop(requester_id, None)
        return sorted(swept)

    def requesters(self) -> list[str]:
        """The ids of the requesters that have a queue, sorted."""
        return sorted(self._held)


def _check_requester(requester_id: str) -> None:
    if not is_plain_name(requester_id):
        raise ValueError(f"{requester_id[:80]!r} is not a requester's id")


def _check_range(name: str, value: float, maximum: float) -> None:
    if not 0 <= value <= maximum:
        raise ValueError(f"{name} is {value}, not in 0..{maximum:g}")
