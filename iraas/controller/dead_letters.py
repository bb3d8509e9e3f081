"""Giving an outcome to the requests that a queue moved to the dead letters by itself.

A worker that gives a request up stores its outcome first and says why in the message's note. A
message without a note was moved by the queue, after more receives than it allows: nobody has
stored an outcome for it yet.
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
LOOK_S = 60.0
LOOKED_AT = 200
REASON = "it was received more often than the queue allows, and never finished"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up.

    Attributes:
        request_id: Its request; empty if it cannot be read.
        job_id: The request's job.
        name: The image's name.
        submitted_at: Seconds since the epoch; 0 if it cannot be read.
        note: Why it is here; empty if the queue moved it here and nobody has looked since.
    """

    request_id: str
    job_id: str
    name: str
    submitted_at: float
    note: str


def newest_dead_letters(backend: Backend, count: int) -> list[DeadLetter]:
    """The dead letters that were submitted last, the newest first, among `LOOKED_AT` at most.

    A queue can only be read by receiving from it: for a moment nobody else sees them.

    Raises:
        BackendError: The queue failed.
    """
    queue = backend.dead_letters
    received: list[ReceivedMessage] = []
    if not queue.depth().total:
        return []
    try:
        while len(received) < LOOKED_AT:
            found = queue.receive(MAX_BATCH, lease_s=LOOK_S)
            received += found
            if not found:
                break
    finally:
        queue.release([one.receipt for one in received])
    letters = sorted(map(_letter, received), key=lambda one: one.submitted_at, reverse=True)
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
    """Looks through new dead letters. Idempotent; several at once do no harm."""

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.time) -> None:
        self._backend = backend
        self._clock = clock
        self._writer = OutcomeWriter(backend)
        self._seen = 0

    def run(self) -> int:
        """Give outcomes to the dead letters that have none; tell to how many.

        Raises:
            BackendError: A queue or a store failed.
        """
        depth = self._backend.dead_letters.depth()
        letters = depth.total
        if letters == self._seen:
            return 0
        concluded = 0
        for _ in range(letters // MAX_BATCH + 1):
            messages = self._backend.dead_letters.receive(MAX_BATCH, lease_s=LOOK_S)
            if not messages:
                break
            concluded += sum(self._conclude(one) for one in messages if not one.note)
        if not depth.in_flight:  # else a look that failed may have hidden some of them
            self._seen = letters
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
