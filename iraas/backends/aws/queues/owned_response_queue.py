"""A requester's own response queue on SQS, kept alive by a heartbeat tag."""

import threading
from collections.abc import Callable, Sequence

from iraas.backends.aws.errors import translate_errors
from iraas.backends.aws.queues.sqs_queue import SqsQueue
from iraas.backends.aws.session import AwsSession
from iraas.core.ports import OutboundMessage, QueueDepth, ReceivedMessage
from iraas.errors import BackendUnavailableError, QueueNotFoundError

ALIVE_TAG = "iraas:alive-at"
CONSISTENCY_TIMEOUT_S = 5.0
"""A new queue may not be visible everywhere for about a second
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html)."""
LOOKUP_ATTEMPTS = 4
"""Attempts to find a new queue, one second apart."""


class OwnedResponseQueue:
    """A requester's own response queue. Receiving updates the heartbeat tag. Thread-safe."""

    def __init__(
        self,
        queue: SqsQueue,
        session: AwsSession,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        heartbeat_interval_s: float,
    ) -> None:
        """Wrap a queue that was just created and tagged.

        Args:
            queue: The queue.
            session: Makes the AWS calls.
            clock: Seconds since the epoch.
            sleep: Waits for a number of seconds.
            heartbeat_interval_s: Minimum time between two heartbeats, in seconds.
        """
        self._alive_every_s = heartbeat_interval_s
        self._queue = queue
        self._session = session
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._created_at = self._alive_at = clock()

    @property
    def max_body_bytes(self) -> int:
        """Maximum size of a body, in bytes of UTF-8."""
        return self._queue.max_body_bytes

    @property
    def depth_lag_s(self) -> float:
        """Maximum expected age of the counts, in seconds."""
        return self._queue.depth_lag_s

    def send(self, messages: Sequence[OutboundMessage]) -> None:
        """Send messages. See `iraas.core.ports.Queue.send`."""
        self._queue.send(messages)

    def receive(
        self, max_messages: int, *, lease_s: float, wait_s: float = 0.0
    ) -> list[ReceivedMessage]:
        """Receive messages and send a heartbeat if due. See `iraas.core.ports.Queue.receive`."""
        self._send_heartbeat()
        for _ in range(LOOKUP_ATTEMPTS - 1):
            try:
                return self._queue.receive(max_messages, lease_s=lease_s, wait_s=wait_s)
            except QueueNotFoundError:
                if not 0 <= self._clock() - self._created_at < CONSISTENCY_TIMEOUT_S:
                    raise
                self._sleep(1.0)
        return self._queue.receive(max_messages, lease_s=lease_s, wait_s=wait_s)

    def delete(self, receipts: Sequence[str], took_s: Sequence[float] | None = None) -> None:
        """Delete messages. See `iraas.core.ports.Queue.delete`."""
        self._queue.delete(receipts, took_s)

    def extend(self, receipts: Sequence[str], lease_s: float) -> None:
        """Extend leases. See `iraas.core.ports.Queue.extend`."""
        self._queue.extend(receipts, lease_s)

    def release(self, receipts: Sequence[str]) -> None:
        """End leases. See `iraas.core.ports.Queue.release`."""
        self._queue.release(receipts)

    def depth(self) -> QueueDepth:
        """Count the messages. See `iraas.core.ports.Queue.depth`."""
        return self._queue.depth()

    def _send_heartbeat(self) -> None:
        now = self._clock()
        with self._lock:
            if abs(now - self._alive_at) < self._alive_every_s:
                return
            self._alive_at = now
        try:
            update_alive_tag(self._session, self._queue, now)
        except BackendUnavailableError:
            with self._lock:  # the next receive retries; cleanup tolerates a missed heartbeat
                self._alive_at = now - self._alive_every_s


def update_alive_tag(session: AwsSession, queue: SqsQueue, now_s: float) -> None:
    """Write the heartbeat tag of a queue.

    Args:
        session: Makes the AWS calls.
        queue: The queue.
        now_s: Time of the heartbeat, in seconds since the epoch.

    Raises:
        QueueNotFoundError: The queue does not exist.
    """
    url = queue.url()
    with translate_errors("sqs", f"the queue {queue.name}", provisioned=False):
        session.sqs.tag_queue(QueueUrl=url, Tags={ALIVE_TAG: f"{now_s:.3f}"})
