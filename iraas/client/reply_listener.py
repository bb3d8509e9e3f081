"""Routing replies: one response queue for all that a process waits for.

A thread receives, and tells exactly the one who waits for that request, and those who watch that
job. A reply may be lost, and the response queue with it: whoever has waited for a while is looked
up in the output store, ever more rarely, so that the wait ends by the stored outcome, which is the
truth anyhow.
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
from iraas.errors import BackendError, MessageError, ObjectNotFoundError, QueueNotFoundError

log = logging.getLogger(__name__)
Told = Callable[[Outcome], None]
REPLY_LEASE_S = 60.0
MAX_LOOKS = 20
DELETED_AT_ONCE = 40
MAX_PAUSE_S = 10.0
JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class RouterTiming:
    """When a router does what, in seconds.

    Attributes:
        wait_s: How long one look at the response queue waits.
        batch_window_s: Pause after replies, in which more gather: fewer, fuller receives.
        store_poll_s: Wait before the output store is polled; doubles each time.
        max_store_poll_s: The longest time between two such looks.
        idle_s: Time between two receives while nobody waits: they only show that we live.
    """

    wait_s: float = 1.0
    batch_window_s: float = 0.02
    store_poll_s: float = 3.0
    max_store_poll_s: float = 20.0
    idle_s: float = 20.0


@dataclass(slots=True)
class _Expectation:
    told: Told
    look_at: float
    store_poll_s: float


class ReplyListener:
    """Tells whoever waits of their outcomes. All but `start` and `stop` may be called anywhere.

    Args:
        backend: The deployment.
        new_id: Makes a requester's id that nobody else has, each time another one.
        timing: When to do what.
        now: Gives monotonic seconds.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        new_id: Callable[[], str],
        timing: RouterTiming | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._new_id = new_id
        self._timing = timing or RouterTiming()
        self._now = now
        self._requester_id = new_id()
        self._queue: Queue | None = None
        self._expected: dict[str, _Expectation] = {}
        self._listeners: defaultdict[str, set[Told]] = defaultdict(set)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._receipts: list[str] = []
        self._thread = threading.Thread(target=self._run, name="reply-router", daemon=True)

    @property
    def requester_id(self) -> str:
        """Whom workers reply to; another one after the response queue was lost."""
        return self._requester_id

    @property
    def is_listening(self) -> bool:
        """True while there is a response queue that could be received from."""
        return self._queue is not None

    def start(self) -> None:
        """Make the response queue and begin to receive.

        Raises:
            BackendError: The queue could not be made.
        """
        self._queue = self._backend.responses.create(self._requester_id)
        self._thread.start()

    def stop(self) -> None:
        """Receive no more, and remove the response queue. Outcomes stay where they are stored."""
        self._stopped = True
        self._wake.set()
        # Before the join, so that a receive that waits for replies ends with its queue; and again
        # if the thread may have made another one meanwhile.
        removed, had_queue = self._requester_id, self._queue is not None
        self._delete_queue(removed)
        if self._thread.is_alive():
            self._thread.join(JOIN_S)
        if self._requester_id != removed or not had_queue:
            self._delete_queue(self._requester_id)

    def _delete_queue(self, requester_id: str) -> None:
        try:
            self._backend.responses.delete(requester_id)
        except BackendError as exc:
            log.warning("could not remove the response queue: %s", exc)

    def register(self, request_id: str, told: Told) -> None:
        """Have somebody told once of a request's outcome. Call it before the request is sent.

        `told` is called from another thread and must not block, nor raise.
        """
        store_poll_s = self._timing.store_poll_s
        self._expected[request_id] = _Expectation(told, self._now() + store_poll_s, store_poll_s)
        self._wake.set()

    def unregister(self, request_id: str) -> None:
        """Expect an outcome no more."""
        self._expected.pop(request_id, None)

    def listen(self, job_id: str, told: Told) -> Callable[[], None]:
        """Have somebody told of a job's outcomes as replies come; best effort. Call it to end.

        `told` is called from another thread and must not block, nor raise.
        """
        with self._lock:
            self._listeners[job_id].add(told)
        self._wake.set()

        def end() -> None:
            with self._lock:
                self._listeners[job_id].discard(told)
                if not self._listeners[job_id]:
                    del self._listeners[job_id]

        return end

    def _run(self) -> None:
        pause_s = 0.5
        while not self._stopped:
            try:
                self._turn()
                pause_s = 0.5
            except QueueNotFoundError:
                self._lose_queue()
            except BackendError as exc:
                log.warning("could not receive replies: %s; again in %.1f s", exc, pause_s)
                self._wake.wait(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)

    def _lose_queue(self) -> None:
        """Be somebody else from now on: workers remember that the old one is gone."""
        if self._stopped:
            return  # it was removed by `stop`
        log.warning("the response queue is gone; making another one")
        self._queue = None
        self._receipts = []
        self._requester_id = self._new_id()

    def _turn(self) -> None:
        if self._queue is None:
            self._look_for_lost()
            self._queue = self._backend.responses.create(self._requester_id)
        wanted = bool(self._expected or self._listeners)
        if not wanted:
            self._wake.wait(self._timing.idle_s)
        self._wake.clear()
        messages = self._queue.receive(
            MAX_BATCH, lease_s=REPLY_LEASE_S, wait_s=self._timing.wait_s if wanted else 0.0
        )
        for message in messages:
            self._read(message.body)
            self._receipts.append(message.receipt)
        if self._receipts and (not messages or len(self._receipts) >= DELETED_AT_ONCE):
            receipts, self._receipts = self._receipts, []
            self._queue.delete(receipts)
        self._look_for_lost()
        if messages and len(messages) < MAX_BATCH and not self._stopped:
            time.sleep(self._timing.batch_window_s)

    def _read(self, body: str) -> None:
        try:
            outcome = decode_reply(body)
        except MessageError as exc:
            log.warning("a reply is passed over: %s", exc)
        else:
            self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        expectation = self._expected.pop(outcome.request_id, None)
        if expectation is not None:
            expectation.told(outcome)
        if outcome.job_id in self._listeners:
            with self._lock:
                listeners = tuple(self._listeners.get(outcome.job_id, ()))
            for told in listeners:
                told(outcome)

    def _look_for_lost(self) -> None:
        now = self._now()
        due = [
            (request_id, one)
            for request_id, one in list(self._expected.items())
            if one.look_at <= now
        ]
        for request_id, one in due[:MAX_LOOKS]:
            try:
                outcome = decode_outcome(self._backend.outputs.get(outcome_key(request_id)))
            except (ObjectNotFoundError, MessageError):
                one.store_poll_s = min(2 * one.store_poll_s, self._timing.max_store_poll_s)
                one.look_at = self._now() + one.store_poll_s
            else:
                self._tell(outcome)
