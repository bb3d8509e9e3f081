"""Queues: messages delivered at least once, under leases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_BATCH = 10
"""Messages in one receive, at most (the limit of SQS); send, delete, extend and release take any
number and split it themselves."""


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """A message to send.

    Attributes:
        body: Text; its UTF-8 form is at most the queue's `max_body_bytes` long.
        group: Whose message it is (a job's id). Groups share a queue fairly: see `Queue`. The
            messages without one share as a group of their own.
        delay_s: Seconds before it may be received, 0..900.
        note: A remark for people, up to 1,024 characters: why a message is a dead letter.
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
        receipt: This receive's handle: another receive of the same message has another one.
        receive_count: How often it has been received, this time included; at least 1.
        note: The sender's remark.
    """

    body: str
    receipt: str
    receive_count: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many messages a queue holds. The counts of a distributed queue may lag by a minute.

    Attributes:
        visible: May be received now.
        in_flight: Under lease.
        delayed: Sent with a delay that is not over.
    """

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.visible + self.in_flight + self.delayed


class Queue(Protocol):
    """Messages, delivered at least once, in no promised order.

    A message is received under a lease. Until the lease ends nobody else receives it; then it is
    visible again, unless it was deleted. A queue with a dead-letter queue moves a message there,
    its note unchanged, instead of handing it out once more than its `max_receives` times.

    Groups share a queue fairly, so that a small one does not wait behind the whole of a large one.
    The memory and local queues share the consumers' time, whatever a message costs, as
    `iraas.core.fair_shares` says. SQS (a fair queue) lets groups with few messages in flight go
    first; its documentation gives no bound.

    Methods may be called from several threads and processes at once. All but `receive` are
    idempotent.

    Raises (all methods):
        QueueNotFoundError: The queue does not exist, or no longer.
        BackendUnavailableError: It failed for now; adapters have retried, with a bound.
    """

    @property
    def max_body_bytes(self) -> int:
        """The longest body, in bytes of UTF-8."""
        ...

    @property
    def depth_lag_s(self) -> float:
        """How old the counts of `depth` may be, in seconds: 0 if they are exact."""
        ...

    def send(self, messages: Sequence[OutboundMessage]) -> None:
        """Send messages; when this returns, all are stored durably.

        If it raises, some may have been sent: send all again, receivers stand duplicates.

        Raises:
            MessageTooLargeError: A body is over `max_body_bytes`; nothing was sent.
        """
        ...

    def receive(
        self, max_messages: int, *, lease_s: float, wait_s: float = 0.0
    ) -> list[ReceivedMessage]:
        """Receive up to that many messages (1..`MAX_BATCH`) and hide them for `lease_s` seconds.

        Waits up to `wait_s` seconds (0..20) for the first one, without spinning. An empty answer
        does not prove an empty queue.
        """
        ...

    def delete(self, receipts: Sequence[str], took_s: Sequence[float] | None = None) -> None:
        """Delete messages for good. A stale receipt (its lease ended and somebody else received
        the message) deletes nothing, silently.

        Args:
            receipts: The messages' receipts.
            took_s: How many seconds of the consumer's time each message took, which is charged to
                its group. Without it that is measured by the leases: exactly if messages are
                received and deleted one at a time, or together.
        """
        ...

    def extend(self, receipts: Sequence[str], lease_s: float) -> None:
        """Let leases end `lease_s` seconds (up to 43,200) from now. A stale receipt extends
        nothing, silently.
        """
        ...

    def release(self, receipts: Sequence[str]) -> None:
        """End leases now: the messages are visible again. A stale receipt releases nothing."""
        ...

    def depth(self) -> QueueDepth:
        """Count the messages, as they were up to `depth_lag_s` ago."""
        ...


class ResponseQueues(Protocol):
    """The response queues, one a requester, so that nobody takes another's answers.

    A requester's id is a plain name (`iraas.core.ids.is_plain_name`) of its own making.
    """

    def create(self, requester_id: str) -> Queue:
        """Make a requester's queue, or find the one that is there. Idempotent."""
        ...

    def find(self, requester_id: str) -> Queue:
        """The queue of a requester of this deployment, for a worker that replies. Never makes one:
        its methods raise QueueNotFoundError if there is none.
        """
        ...

    def delete(self, requester_id: str) -> None:
        """Remove a requester's queue with all in it. Idempotent."""
        ...

    def sweep(self, ttl_s: float) -> list[str]:
        """Remove the queues of requesters that showed no life for so long; give back whose."""
        ...
