"""The intake of a classifier process: receives messages and makes tasks of them.

A message seen before may be the one that ended the process that had it, so it runs alone: what is
in hand is finished first, then it is noted that this request is about to be tried, and then it is
tried with nothing beside it. The notes outlive the process. When there are as many notes as
attempts allowed, the request is given up: a failure outcome, and its message to the dead letters.
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
from iraas.worker.leases import LeaseKeeper
from iraas.worker.prefetch import Hand

log = logging.getLogger(__name__)
MAX_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Task:
    """A request with its image in memory, ready to be classified."""

    request: Request
    image: bytes
    receipt: str
    attempts: int


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How much a classifier process takes on.

    Attributes:
        batch: Messages asked for in one receive, 1..10.
        hold: Messages in hand at most; those beyond the one being classified only bridge the time
            that receiving and storing take.
        store: Outcomes that are stored together, while there is more to classify.
        hold_bytes: Bytes of images in hand at which no more are taken.
        lease_s: The lease of a received message.
        wait_s: How long one receive waits for a message.
        max_attempts: How often a request may end its process when tried alone.
    """

    batch: int = 4
    hold: int = 12
    store: int = 4
    hold_bytes: int = 64_000_000
    lease_s: float = 30.0
    wait_s: float = 1.0
    max_attempts: int = 3


class MessageReceiver:
    """Receives, reads and admits messages. Runs in a thread of its own.

    Args:
        backend: Where the messages and the images are.
        limits: How much to take on.
        hand: Counts what is in hand.
        leases: Keeps the leases of what is in hand alive.
        ready: Takes a task to be classified.
        finished: Takes a request that needs no classification.
        conclude: Makes the failure outcome of a request, from its reason and its receive count.
        idle: Called after each receive with the number of empty ones in a row.
    """

    def __init__(
        self,
        backend: Backend,
        limits: WorkerLimits,
        hand: Hand,
        leases: LeaseKeeper,
        *,
        ready: Callable[[Task], None],
        finished: Callable[[CompletedRequest], None],
        conclude: Callable[[Request, str, int], Outcome],
        idle: Callable[[int], None],
    ) -> None:
        self._backend = backend
        self._limits = limits
        self._hand = hand
        self._leases = leases
        self._ready = ready
        self._finished = finished
        self._conclude = conclude
        self._idle = idle
        self._stored_outcome = OutcomeWriter(backend).stored_outcome
        self._batch = limits.batch
        self._unread: list[str] = []

    def run(self, stop: threading.Event) -> None:
        """Receive until told to stop; a backend that fails is asked again, ever more slowly."""
        empty, pause_s = 0, 0.5
        while not stop.is_set():
            self._hand.wait_for_room(self._batch)
            if stop.is_set():
                return
            try:
                messages = self._receive()
                empty = 0 if messages else empty + 1
                self._idle(empty)
                self._admit(messages, stop)
                pause_s = 0.5
            except BackendError as exc:
                log.warning("could not take in: %s; trying again in %.1f s", exc, pause_s)
                self._abandon()
                stop.wait(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)

    def _receive(self) -> list[ReceivedMessage]:
        limits = self._limits
        messages = self._backend.requests.receive(
            self._batch, lease_s=limits.lease_s, wait_s=limits.wait_s
        )
        self._leases.hold([one.receipt for one in messages])
        # After a message seen before, take one at a time: the others of its process are close by,
        # and each should be tried with nothing beside it that it could take down.
        seen_before = any(one.receive_count > 1 for one in messages)
        self._batch = 1 if seen_before else limits.batch
        self._unread = [one.receipt for one in messages]
        return messages

    def _abandon(self) -> None:
        """Give back what was received and not handed on."""
        self._leases.let_go(self._unread)
        try:
            self._backend.requests.release(self._unread)
        except BackendError as exc:
            log.warning("could not release %d messages: %s", len(self._unread), exc)
        self._unread = []

    def _admit(self, messages: list[ReceivedMessage], stop: threading.Event) -> None:
        again = [one for one in messages if one.receive_count > 1]
        for message in messages:
            if message.receive_count == 1:
                self._read(message, self._admit_new)
        for message in again:
            self._hand.wait_until_empty()
            if stop.is_set():
                return
            self._read(message, self._admit_again)
            self._hand.wait_until_empty()

    def _read(
        self, message: ReceivedMessage, admit: Callable[[Request, ReceivedMessage], None]
    ) -> None:
        try:
            request = decode_request(message.body)
        except MessageError as exc:
            log.warning("a message goes to the dead letters: %s", exc)
            self._backend.dead_letters.send([OutboundMessage(message.body, note=str(exc)[:1024])])
            self._backend.requests.delete([message.receipt])
            self._leases.let_go([message.receipt])
        else:
            admit(request, message)

    def _admit_new(self, request: Request, message: ReceivedMessage) -> None:
        try:
            image = self._image(request)
        except ObjectNotFoundError:
            self._give_up(request, message, "its image is not in the input store")
            return
        self._taken(message, len(image))
        self._ready(Task(request, image, message.receipt, message.receive_count))

    def _admit_again(self, request: Request, message: ReceivedMessage) -> None:
        try:
            outcome = self._stored_outcome(request)
        except MessageError as exc:
            log.warning("the stored outcome of %s is mangled: %s", request.request_id, exc)
            outcome = None
        if outcome is not None:
            self._taken(message, 0)
            self._finished(CompletedRequest(request, outcome, message.receipt))
            return
        number = self._next_attempt(request)
        if number > self._limits.max_attempts:
            reason = f"it ended its classifier process {number - 1} times when tried alone"
            self._give_up(request, message, reason, dead_letter=reason)
            return
        note = attempt_key(request.request_id, number)
        self._backend.records.put(note, b"")
        self._admit_new(request, message)
        self._hand.wait_until_empty()
        self._backend.records.delete([note])

    def _next_attempt(self, request: Request) -> int:
        for number in range(1, self._limits.max_attempts + 1):
            try:
                self._backend.records.get(attempt_key(request.request_id, number))
            except ObjectNotFoundError:
                return number
        return self._limits.max_attempts + 1

    def _give_up(
        self, request: Request, message: ReceivedMessage, reason: str, dead_letter: str = ""
    ) -> None:
        outcome = self._conclude(request, reason, message.receive_count)
        self._taken(message, 0)
        self._finished(CompletedRequest(request, outcome, message.receipt, dead_letter))

    def _taken(self, message: ReceivedMessage, image_bytes: int) -> None:
        self._unread.remove(message.receipt)
        self._hand.take(message.receipt, image_bytes)

    def _image(self, request: Request) -> bytes:
        if request.image is not None:
            return request.image
        assert request.input_key is not None
        return self._backend.inputs.get(request.input_key)
