"""Receiving messages in a classifier process, and reading their images.

A redelivered message may be the one that crashed the process that held it, so it runs alone: first
everything in flight is finished, then an attempt marker is stored for the request, then the request
is classified with nothing beside it. Markers outlive the process. A request with as many markers as
allowed attempts gets a failure outcome, and its message goes to the dead-letter queue.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from iraas.core.keys import attempt_key
from iraas.core.messages import Request, decode_request
from iraas.core.outcomes import Outcome
from iraas.core.ports import Backend, OutboundMessage, ReceivedMessage
from iraas.errors import BackendError, MessageError, ObjectNotFoundError
from iraas.jobs.outcome_writer import CompletedRequest, OutcomeWriter
from iraas.worker.leases import LeaseExtender
from iraas.worker.prefetch import PrefetchWindow

log = logging.getLogger(__name__)
MAX_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Task:
    """A request that is ready to be classified.

    Attributes:
        request: The request.
        image: The bytes of its image file.
        receipt: The receipt of its message.
        attempts: How often its message was received, this time included.
    """

    request: Request
    image: bytes
    receipt: str
    attempts: int


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Batch sizes, prefetch limits and times of a classifier process.

    Attributes:
        receive_batch_size: Messages requested by one receive, 1..10.
        max_prefetch: Messages in flight at most; those beyond the one being classified only hide
            the latency of receiving and storing.
        store_batch_size: Outcomes that are stored together while more images are waiting.
        max_prefetch_bytes: Bytes of images in flight from which on no more messages are received.
        lease_s: Seconds for which a received message is leased.
        wait_s: Seconds that one receive waits for a message.
        max_attempts: How often a request may crash its process when classified alone.
    """

    receive_batch_size: int = 4
    max_prefetch: int = 12
    store_batch_size: int = 4
    max_prefetch_bytes: int = 64_000_000
    lease_s: float = 30.0
    wait_s: float = 1.0
    max_attempts: int = 3


class MessageReceiver:
    """Receives messages and reads their images. Runs in a thread of its own.

    The callbacks are called from that thread.

    Args:
        backend: The request queue, the stores and the dead-letter queue.
        limits: Batch sizes and times.
        prefetch: Counts the messages in flight.
        leases: Extends the leases of the messages in flight.
        on_task: Called with each request to be classified.
        on_completed: Called with each request that needs no classification.
        make_failure: Makes a failure outcome of a request, a reason and a receive count.
        on_poll: Called after each receive with the number of consecutive empty receives.
    """

    def __init__(
        self,
        backend: Backend,
        limits: WorkerLimits,
        prefetch: PrefetchWindow,
        leases: LeaseExtender,
        *,
        on_task: Callable[[Task], None],
        on_completed: Callable[[CompletedRequest], None],
        make_failure: Callable[[Request, str, int], Outcome],
        on_poll: Callable[[int], None],
    ) -> None:
        self._backend = backend
        self._limits = limits
        self._prefetch = prefetch
        self._leases = leases
        self._on_task = on_task
        self._on_completed = on_completed
        self._make_failure = make_failure
        self._on_poll = on_poll
        self._stored_outcome = OutcomeWriter(backend).stored_outcome
        self._batch_size = limits.receive_batch_size
        self._unread: list[str] = []

    def run(self, stop: threading.Event) -> None:
        """Receive until `stop` is set; exponential backoff while the backend fails."""
        empty_polls, pause_s = 0, 0.5
        while not stop.is_set():
            self._prefetch.wait_for_capacity(self._batch_size)
            if stop.is_set():
                return
            try:
                messages = self._receive()
                empty_polls = 0 if messages else empty_polls + 1
                self._on_poll(empty_polls)
                self._admit(messages, stop)
                pause_s = 0.5
            except BackendError as exc:
                log.warning("could not receive: %s; retrying in %.1f s", exc, pause_s)
                self._release_unread()
                stop.wait(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)

    def _receive(self) -> list[ReceivedMessage]:
        limits = self._limits
        messages = self._backend.requests.receive(
            self._batch_size, lease_s=limits.lease_s, wait_s=limits.wait_s
        )
        self._leases.add([message.receipt for message in messages])
        # After a redelivered message, receive one at a time: the other messages of its process
        # follow, and each should run with nothing beside it that its crash would take down.
        redelivered = any(message.receive_count > 1 for message in messages)
        self._batch_size = 1 if redelivered else limits.receive_batch_size
        self._unread = [message.receipt for message in messages]
        return messages

    def _release_unread(self) -> None:
        self._leases.remove(self._unread)
        try:
            self._backend.requests.release(self._unread)
        except BackendError as exc:
            log.warning("could not release %d messages: %s", len(self._unread), exc)
        self._unread = []

    def _admit(self, messages: list[ReceivedMessage], stop: threading.Event) -> None:
        redelivered = [message for message in messages if message.receive_count > 1]
        for message in messages:
            if message.receive_count == 1:
                self._read(message, self._admit_new)
        for message in redelivered:
            self._prefetch.wait_until_empty()
            if stop.is_set():
                return
            self._read(message, self._admit_redelivered)
            self._prefetch.wait_until_empty()

    def _read(
        self, message: ReceivedMessage, admit: Callable[[Request, ReceivedMessage], None]
    ) -> None:
        try:
            request = decode_request(message.body)
        except MessageError as exc:
            log.warning("invalid message sent to the dead-letter queue: %s", exc)
            self._backend.dead_letters.send([OutboundMessage(message.body, note=str(exc)[:1024])])
            self._backend.requests.delete([message.receipt])
            self._leases.remove([message.receipt])
        else:
            admit(request, message)

    def _admit_new(self, request: Request, message: ReceivedMessage) -> None:
        try:
            image = self._image(request)
        except ObjectNotFoundError:
            self._fail(request, message, "its image is not in the input store")
            return
        self._count(message, len(image))
        self._on_task(Task(request, image, message.receipt, message.receive_count))

    def _admit_redelivered(self, request: Request, message: ReceivedMessage) -> None:
        try:
            outcome = self._stored_outcome(request)
        except MessageError as exc:
            log.warning("corrupt stored outcome of %s: %s", request.request_id, exc)
            outcome = None
        if outcome is not None:
            self._count(message, 0)
            self._on_completed(CompletedRequest(request, outcome, message.receipt))
            return
        number = self._next_attempt(request)
        if number > self._limits.max_attempts:
            reason = f"it ended its classifier process {number - 1} times when tried alone"
            self._fail(request, message, reason, dead_letter=reason)
            return
        marker = attempt_key(request.request_id, number)
        self._backend.records.put(marker, b"")
        self._admit_new(request, message)
        self._prefetch.wait_until_empty()
        self._backend.records.delete([marker])

    def _next_attempt(self, request: Request) -> int:
        for number in range(1, self._limits.max_attempts + 1):
            try:
                self._backend.records.get(attempt_key(request.request_id, number))
            except ObjectNotFoundError:
                return number
        return self._limits.max_attempts + 1

    def _fail(
        self, request: Request, message: ReceivedMessage, reason: str, dead_letter: str = ""
    ) -> None:
        outcome = self._make_failure(request, reason, message.receive_count)
        self._count(message, 0)
        self._on_completed(CompletedRequest(request, outcome, message.receipt, dead_letter))

    def _count(self, message: ReceivedMessage, image_bytes: int) -> None:
        self._unread.remove(message.receipt)
        self._prefetch.add(message.receipt, image_bytes)

    def _image(self, request: Request) -> bytes:
        if request.image is not None:
            return request.image
        assert request.input_key is not None
        return self._backend.inputs.get(request.input_key)
