"""Queues: messages delivered at least once, under leases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_BATCH = 10
"""The maximum number of messages in one receive (the limit of SQS); send, delete, extend and
release accept any number and split it themselves."""


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """A message to send.

    Attributes:
        body: Text; at most the queue's `max_body_bytes` bytes in UTF-8.
        group: The group that it belongs to (a job's id). Groups share a queue fairly: see `Queue`.
            Messages without one form a group of their own.
        delay_s: Seconds before it may be received, 0..900.
        note: A human-readable note of up to 1,024 characters: why a message is a dead letter.
    """

    body: str
    group: str = ""
    delay_s: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message under lease.

    Attributes:
        body: The text as it was sent.
        receipt: The handle of this receive: another receive of the same message has another one.
        receive_count: How often it has been received, this receive included; at least 1.
        note: The sender's note.
    """

    body: str
    receipt: str
    receive_count: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """The number of messages in a queue. The counts of a distributed queue may lag by a minute.

    Attributes:
        visible: Messages that may be received now.
        in_flight: Messages under lease.
        delayed: Messages whose delay is not over.
    """

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """The number of all messages."""
        return self.visible + self.in_flight + self.delayed


class Queue(Protocol):
    """Messages, delivered at least once, in no guaranteed order.

    A message is received under a lease. Until the lease ends nobody else receives it; then it is
    visible again, unless it was deleted. A queue with a dead-letter queue moves a message there,
    its note unchanged, instead of delivering it more than `max_receives` times.

    Groups share a queue fairly, so that a small one does not wait behind the whole of a large one.
    The memory and local queues share the consumers' time, whatever a message costs, as described in
    `iraas.core.fair_shares`. SQS (a fair queue) prefers groups with few messages in flight; its
    documentation gives no bound.

    Methods may be called from several threads and processes at once. All but `receive` are
    idempotent.

    Raises (all methods):
        QueueNotFoundError: The queue does not exist, or was deleted.
        BackendUnavailableError: A temporary failure; adapters have retried a bounded number of
            times.
    """

    @property
    def max_body_bytes(self) -> int:
        """The maximum size of a body, in bytes of UTF-8."""
        ...

    @property
    def depth_lag_s(self) -> float:
        """The maximum age of the counts of `depth`, in seconds; 0 if they are exact."""
        ...

    def send(self, messages: Sequence[OutboundMessage]) -> None:
        """Send messages; when this returns, all are stored durably.

        If it raises, some may have been sent: send all again, receivers tolerate duplicates.

        Raises:
            MessageTooLargeError: A body exceeds `max_body_bytes`; nothing was sent.
        """
        ...

    def receive(
        self, max_messages: int, *, lease_s: float, wait_s: float = 0.0
    ) -> list[ReceivedMessage]:
        """Receive messages under a lease. An empty result does not prove an empty queue.

        Args:
            max_messages: The maximum number, 1..`MAX_BATCH`.
            lease_s: The lease, in seconds.
            wait_s: How long to wait for the first message, without spinning, in seconds, 0..20.
        """
        ...

    def delete(self, receipts: Sequence[str], took_s: Sequence[float] | None = None) -> None:
        """Delete messages permanently. A stale receipt (its lease ended and another consumer
        received the message) deletes nothing, silently.

        Args:
            receipts: The messages' receipts.
            took_s: The consumer's time for each message, in seconds, which is charged to its group.
                Without it the time under lease is charged: exact if messages are received and
                deleted one at a time, or together.
        """
        ...

    def extend(self, receipts: Sequence[str], lease_s: float) -> None:
        """Set the end of leases. A stale receipt extends nothing, silently.

        Args:
            receipts: The messages' receipts.
            lease_s: The time from now until the leases end, in seconds, up to 43,200.
        """
        ...

    def release(self, receipts: Sequence[str]) -> None:
        """End leases now: the messages become visible. A stale receipt releases nothing."""
        ...

    def depth(self) -> QueueDepth:
        """Count the messages, as of up to `depth_lag_s` ago."""
        ...


class ResponseQueues(Protocol):
    """The response queues, one per requester, so that nobody receives another's replies.

    A requester chooses its id, a plain name (`iraas.core.ids.is_plain_name`).
    """

    def create(self, requester_id: str) -> Queue:
        """Create a requester's queue, or return the existing one. Idempotent."""
        ...

    def find(self, requester_id: str) -> Queue:
        """Return a requester's queue, for a worker that replies. Never creates one: the queue's
        methods raise QueueNotFoundError if it does not exist.
        """
        ...

    def delete(self, requester_id: str) -> None:
        """Delete a requester's queue with its messages. Idempotent."""
        ...

    def sweep(self, ttl_s: float) -> list[str]:
        """Delete the queues of inactive requesters.

        Args:
            ttl_s: How long a requester must have been inactive, in seconds.

        Returns:
            The ids of those requesters.
        """
        ...
