"""Storing failure outcomes for requests that a queue moved to the dead-letter queue.

A worker that gives up a request stores its outcome first and gives the reason in the message's
note. A message without a note was moved by the queue itself, after too many receives: no outcome
has been stored for it yet.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from iraas.core.messages import Request, decode_request
from iraas.core.outcomes import Outcome
from iraas.core.ports import MAX_BATCH, Backend, OutboundMessage, ReceivedMessage
from iraas.errors import MessageError
from iraas.jobs.outcome_writer import OutcomeWriter

log = logging.getLogger(__name__)
LEASE_S = 60.0
MAX_LISTED = 200
REASON = "it was received more often than the queue allows, and never finished"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message in the dead-letter queue.

    Attributes:
        request_id: Its request; empty if it is corrupt.
        job_id: The request's job; empty if it is corrupt.
        name: The image's name; empty if it is corrupt.
        submitted_at: Seconds since the epoch; 0 if it is corrupt.
        note: Why it is here; empty if the queue moved it and it has not been processed yet.
    """

    request_id: str
    job_id: str
    name: str
    submitted_at: float
    note: str


def newest_dead_letters(backend: Backend, count: int) -> list[DeadLetter]:
    """Return the most recently submitted dead letters, newest first, among `MAX_LISTED` at most.

    A queue can only be read by receiving from it: the messages are invisible for a moment.

    Args:
        backend: The deployment.
        count: The maximum number of dead letters.

    Raises:
        BackendError: The queue failed.
    """
    queue = backend.dead_letters
    received: list[ReceivedMessage] = []
    if not queue.depth().total:
        return []
    try:
        while len(received) < MAX_LISTED:
            found = queue.receive(MAX_BATCH, lease_s=LEASE_S)
            received += found
            if not found:
                break
    finally:
        queue.release([message.receipt for message in received])
    letters = sorted(map(_letter, received), key=lambda letter: letter.submitted_at, reverse=True)
    return letters[:count]


def _letter(message: ReceivedMessage) -> DeadLetter:
    try:
        request = decode_request(message.body)
    except MessageError as exc:
        return DeadLetter("", "", "", 0.0, message.note or str(exc))
    return DeadLetter(
        request.request_id, request.job_id, request.name, request.submitted_at, message.note
    )


class DeadLetterProcessor:
    """Processes new dead letters. Not thread-safe; several processors may run at once.

    Args:
        backend: The deployment.
        clock: Returns seconds since the epoch.
    """

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.time) -> None:
        self._backend = backend
        self._clock = clock
        self._writer = OutcomeWriter(backend)
        self._processed = 0

    def run(self) -> int:
        """Store failure outcomes for the dead letters that have none. Idempotent.

        Returns:
            The number of concluded requests.

        Raises:
            BackendError: A queue or a store failed.
        """
        depth = self._backend.dead_letters.depth()
        letters = depth.total
        if letters == self._processed:
            return 0
        concluded = 0
        for _ in range(letters // MAX_BATCH + 1):
            messages = self._backend.dead_letters.receive(MAX_BATCH, lease_s=LEASE_S)
            if not messages:
                break
            concluded += sum(self._conclude(message) for message in messages if not message.note)
        if not depth.in_flight:  # otherwise a failed run may still hide some of them
            self._processed = letters
        return concluded

    def _conclude(self, message: ReceivedMessage) -> bool:
        note = REASON
        try:
            request = decode_request(message.body)
            self._writer.settle(request, self._outcome(request, message))
        except MessageError as exc:
            note = str(exc)
        letter = OutboundMessage(message.body, note=note[:1024])
        self._backend.dead_letters.send([letter])
        self._backend.dead_letters.delete([message.receipt])
        return note == REASON

    def _outcome(self, request: Request, message: ReceivedMessage) -> Outcome:
        return Outcome(
            request_id=request.request_id,
            job_id=request.job_id,
            name=request.name,
            prediction=None,
            reason=REASON,
            model="",
            worker="controller",
            attempts=message.receive_count,
            submitted_at=request.submitted_at,
            completed_at=self._clock(),
        )
