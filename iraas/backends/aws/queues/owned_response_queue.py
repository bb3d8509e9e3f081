"""A requester's own response queue on SQS, which shows now and then that its requester lives."""

import threading
from collections.abc import Callable, Sequence

from iraas.backends.aws.errors import translating
from iraas.backends.aws.queues.sqs_queue import SqsQueue
from iraas.backends.aws.session import AwsSession
from iraas.core.ports import OutboundMessage, QueueDepth, ReceivedMessage
from iraas.errors import BackendUnavailableError, QueueNotFoundError

ALIVE_TAG = "iraas:alive-at"
SETTLING_S = 5.0
"""A new queue may not be found everywhere for a second or so
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html)."""
LOOKS = 4
"""How often, a second apart, a new queue is looked for."""


class OwnedResponseQueue:
    """A requester's own response queue: receiving from it shows that the requester lives."""

    def __init__(
        self,
        queue: SqsQueue,
        session: AwsSession,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        alive_every_s: float,
    ) -> None:
        """Own a queue that was just made and tagged.

        Args:
            queue: The queue.
            session: Makes the calls.
            clock: Seconds since the epoch.
            sleep: Waits that many seconds.
            alive_every_s: Seconds between two signs of life, at least.
        """
        self._alive_every_s = alive_every_s
        self._queue = queue
        self._session = session
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._made_at = self._alive_at = clock()

    @property
    def max_body_bytes(self) -> int:
        """The longest body, in bytes of UTF-8."""
        return self._queue.max_body_bytes

    @property
    def depth_lag_s(self) -> float:
        """How old its counts may be."""
        return self._queue.depth_lag_s

    def send(self, messages: Sequence[OutboundMessage]) -> None:
        """Send messages. See `iraas.core.ports.Queue.send`."""
        self._queue.send(messages)

    def receive(
        self, max_messages: int, *, lease_s: float, wait_s: float = 0.0
    ) -> list[ReceivedMessage]:
        """Receive messages, and show life now and then. See `iraas.core.ports.Queue.receive`."""
        self._show_life()
        for _ in range(LOOKS - 1):
            try:
                return self._queue.receive(max_messages, lease_s=lease_s, wait_s=wait_s)
            except QueueNotFoundError:
                if not 0 <= self._clock() - self._made_at < SETTLING_S:
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

    def _show_life(self) -> None:
        now = self._clock()
        with self._lock:
            if abs(now - self._alive_at) < self._alive_every_s:
                return
            self._alive_at = now
        try:
            tag_alive(self._session, self._queue, now)
        except BackendUnavailableError:
            with self._lock:  # the next receive tries again; a sweep allows for more than one miss
                self._alive_at = now - self._alive_every_s


def tag_alive(session: AwsSession, queue: SqsQueue, now_s: float) -> None:
    """Note on a queue that its owner lives.

    Raises:
        QueueNotFoundError: It is gone.
    """
    url = queue.url()
    with translating("sqs", f"the queue {queue.name}", provisioned=False):
        session.sqs.tag_queue(QueueUrl=url, Tags={ALIVE_TAG: f"{now_s:.3f}"})
