"""Dispatching replies: one response queue for all requests that a process waits for.

A thread receives replies and calls the callback registered for that request, and the listeners of
that job. A reply may be lost, and the response queue with it: after a while the outcomes of pending
requests are polled from the output store, with exponential backoff. The stored outcome is
authoritative.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from iraas.core.keys import outcome_key
from iraas.core.messages import decode_reply
from iraas.core.outcomes import Outcome, decode_outcome
from iraas.core.ports import MAX_BATCH, Backend, Queue
from iraas.errors import (
    BackendError,
    IraasError,
    MessageError,
    ObjectNotFoundError,
    QueueNotFoundError,
)

log = logging.getLogger(__name__)
OutcomeCallback = Callable[[Outcome], None]
REPLY_LEASE_S = 60.0
MAX_STORE_POLLS = 20
DELETE_BATCH = 40
MAX_PAUSE_S = 10.0
JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class ReplyListenerConfig:
    """Timing of a reply listener, in seconds.

    Attributes:
        wait_s: How long one receive waits for replies.
        batch_window_s: Pause after replies, in which more accumulate: fewer, fuller receives.
        store_poll_s: Delay before the output store is polled for a request; doubles each time.
        max_store_poll_s: The maximum of that delay.
        idle_s: Interval of receives while no request is pending: they keep the queue alive.
    """

    wait_s: float = 1.0
    batch_window_s: float = 0.02
    store_poll_s: float = 3.0
    max_store_poll_s: float = 20.0
    idle_s: float = 20.0


@dataclass(slots=True)
class _PendingReply:
    callback: OutcomeCallback
    poll_at: float
    store_poll_s: float


class ReplyListener:
    """Calls back with outcomes as replies arrive. Thread-safe, except `start` and `stop`.

    Args:
        backend: The deployment.
        new_id: Generates a unique requester id at each call.
        config: The timing.
        now: Returns monotonic seconds.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        new_id: Callable[[], str],
        config: ReplyListenerConfig | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._new_id = new_id
        self._config = config or ReplyListenerConfig()
        self._now = now
        self._requester_id = new_id()
        self._queue: Queue | None = None
        self._pending: dict[str, _PendingReply] = {}
        self._listeners: defaultdict[str, set[OutcomeCallback]] = defaultdict(set)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._receipts: list[str] = []
        self._thread = threading.Thread(target=self._run, name="reply-listener", daemon=True)

    @property
    def requester_id(self) -> str:
        """The id that workers reply to; changes when the response queue is lost."""
        return self._requester_id

    @property
    def is_listening(self) -> bool:
        """Whether there is a response queue."""
        return self._queue is not None

    def start(self) -> None:
        """Create the response queue and start the receiving thread.

        Raises:
            BackendError: The queue could not be created.
        """
        self._queue = self._backend.responses.create(self._requester_id)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and delete the response queue. Stored outcomes stay."""
        self._stopped = True
        self._wake.set()
        # Before the join, so that a waiting receive ends with its queue; and again if the thread
        # created another one meanwhile.
        deleted, existed = self._requester_id, self._queue is not None
        self._delete_queue(deleted)
        if self._thread.is_alive():
            self._thread.join(JOIN_S)
        if self._requester_id != deleted or (self._queue is not None and not existed):
            self._delete_queue(self._requester_id)

    def _delete_queue(self, requester_id: str) -> None:
        try:
            self._backend.responses.delete(requester_id)
        except IraasError as exc:
            log.warning("could not remove the response queue: %s", exc)

    def register(self, request_id: str, callback: OutcomeCallback) -> None:
        """Register a callback for a request's outcome. Call it before the request is sent.

        Args:
            request_id: The request.
            callback: Called once, from the listener's thread. It must not block or raise.
        """
        store_poll_s = self._config.store_poll_s
        self._pending[request_id] = _PendingReply(
            callback, self._now() + store_poll_s, store_poll_s
        )
        self._wake.set()

    def unregister(self, request_id: str) -> None:
        """Remove a request's callback. Idempotent."""
        self._pending.pop(request_id, None)

    def listen(self, job_id: str, callback: OutcomeCallback) -> Callable[[], None]:
        """Add a listener for a job's replies; best effort: lost replies are not recovered.

        Args:
            job_id: The job.
            callback: Called for each reply, from the listener's thread. It must not block or raise.

        Returns:
            A function that removes the callback.
        """
        with self._lock:
            self._listeners[job_id].add(callback)
        self._wake.set()

        def end() -> None:
            with self._lock:
                self._listeners[job_id].discard(callback)
                if not self._listeners[job_id]:
                    del self._listeners[job_id]

        return end

    def _run(self) -> None:
        pause_s = 0.5
        while not self._stopped:
            try:
                self._poll()
                pause_s = 0.5
            except QueueNotFoundError:
                self._discard_queue()
            except BackendError as exc:
                log.warning("could not receive replies: %s; retrying in %.1f s", exc, pause_s)
                self._wake.wait(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)

    def _discard_queue(self) -> None:
        """Take a new requester id: workers remember that the old one is gone."""
        if self._stopped:
            return  # `stop` removed it
        log.warning("the response queue is gone; creating another one")
        self._queue = None
        self._receipts = []
        self._requester_id = self._new_id()

    def _poll(self) -> None:
        if self._queue is None:
            self._poll_store()
            self._queue = self._backend.responses.create(self._requester_id)
        wanted = bool(self._pending or self._listeners)
        if not wanted:
            self._wake.wait(self._config.idle_s)
        self._wake.clear()
        messages = self._queue.receive(
            MAX_BATCH, lease_s=REPLY_LEASE_S, wait_s=self._config.wait_s if wanted else 0.0
        )
        for message in messages:
            self._read(message.body)
            self._receipts.append(message.receipt)
        if self._receipts and (not messages or len(self._receipts) >= DELETE_BATCH):
            receipts, self._receipts = self._receipts, []
            self._queue.delete(receipts)
        self._poll_store()
        if messages and len(messages) < MAX_BATCH and not self._stopped:
            time.sleep(self._config.batch_window_s)

    def _read(self, body: str) -> None:
        try:
            outcome = decode_reply(body)
        except MessageError as exc:
            log.warning("skipped a reply: %s", exc)
        else:
            self._dispatch(outcome)

    def _dispatch(self, outcome: Outcome) -> None:
        pending = self._pending.pop(outcome.request_id, None)
        if pending is not None:
            pending.callback(outcome)
        if outcome.job_id in self._listeners:
            with self._lock:
                listeners = tuple(self._listeners.get(outcome.job_id, ()))
            for callback in listeners:
                callback(outcome)

    def _poll_store(self) -> None:
        """Read the outcomes of requests whose reply is overdue."""
        now = self._now()
        due = [item for item in list(self._pending.items()) if item[1].poll_at <= now]
        for request_id, pending in due[:MAX_STORE_POLLS]:
            try:
                outcome = decode_outcome(self._backend.outputs.get(outcome_key(request_id)))
            except (ObjectNotFoundError, MessageError):
                limit_s = self._config.max_store_poll_s
                pending.store_poll_s = min(2 * pending.store_poll_s, limit_s)
                pending.poll_at = self._now() + pending.store_poll_s
            else:
                self._dispatch(outcome)
