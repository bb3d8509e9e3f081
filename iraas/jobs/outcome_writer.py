"""Finishing a request: input, outcome, reply, delete. In that order, always.

Each step may be repeated and the process may die between any two: the input and the outcome are
stored only if absent, a second reply is ignored by its requester, and a message that was not
deleted comes back, finds its outcome, and is replied to and deleted then.
"""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from iraas.core.fault_injection import FaultHook, no_fault
from iraas.core.image_formats import sniff_format
from iraas.core.keys import input_key, outcome_key
from iraas.core.messages import Request, encode_reply, encode_request
from iraas.core.outcomes import Outcome, decode_outcome
from iraas.core.ports import Backend, OutboundMessage
from iraas.errors import BackendError, MessageError, ObjectNotFoundError, QueueNotFoundError

log = logging.getLogger(__name__)
MAX_GONE_REQUESTERS = 1000
MAX_OPEN_QUEUES = 32


@dataclass(frozen=True, slots=True)
class CompletedRequest:
    """A request whose outcome is known, and the receipt of its message.

    Attributes:
        request: What was asked.
        outcome: What became of it.
        receipt: The message's receipt.
        dead_letter: Why the message also goes to the dead-letter queue; empty if it does not.
        took_s: How long the worker was busy with it, in seconds.
    """

    request: Request
    outcome: Outcome
    receipt: str
    dead_letter: str = ""
    took_s: float = 0.0


class OutcomeWriter:
    """Writes outcomes in the order that loses none. Not thread-safe: one thread finishes."""

    def __init__(self, backend: Backend, fault: FaultHook = no_fault) -> None:
        self._backend = backend
        self._fault = fault
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._queue_of = lru_cache(MAX_OPEN_QUEUES)(backend.responses.find)

    def finish(self, batch: Sequence[CompletedRequest]) -> list[Outcome]:
        """Finish requests together; give back the outcomes that are stored, in the same order.

        Where another worker was first, that is its outcome.

        Raises:
            BackendError: A store or the request queue failed. What was not deleted comes back.
        """
        self._store_inputs(batch)
        self._pass(batch, "input-stored")
        outcomes = self._store_outcomes(batch)
        self._pass(batch, "outcome-stored")
        self._send_to_dead_letters(batch)
        self._reply([one.request.reply_to for one in batch], outcomes)
        self._pass(batch, "replied")
        self._backend.requests.delete([one.receipt for one in batch], [one.took_s for one in batch])
        self._pass(batch, "deleted")
        return outcomes

    def settle(self, request: Request, outcome: Outcome) -> Outcome:
        """Store a request's outcome unless it has one, and reply; give back the stored one.

        For whoever holds no message of the request queue. Idempotent.

        Raises:
            BackendError: A store failed.
        """
        batch = [CompletedRequest(request, outcome, receipt="")]
        self._store_inputs(batch)
        outcomes = self._store_outcomes(batch)
        self._reply([request.reply_to], outcomes)
        return outcomes[0]

    def stored_outcome(self, request: Request) -> Outcome | None:
        """The outcome that a request has already, if any."""
        try:
            return decode_outcome(self._backend.outputs.get(outcome_key(request.request_id)))
        except ObjectNotFoundError:
            return None

    def _pass(self, batch: Sequence[CompletedRequest], point: str) -> None:
        for one in batch:
            self._fault(point, one.request.name)

    def _store_inputs(self, batch: Sequence[CompletedRequest]) -> None:
        images = [(one.request.request_id, one.request.image) for one in batch]
        objects = [
            (input_key(request_id, _extension(image)), image)
            for request_id, image in images
            if image is not None
        ]
        if objects:
            self._backend.inputs.put_if_absent(objects)

    def _store_outcomes(self, batch: Sequence[CompletedRequest]) -> list[Outcome]:
        stored = self._backend.outputs.put_if_absent(
            [(outcome_key(one.request.request_id), one.outcome.encode()) for one in batch]
        )
        return [
            one.outcome if new else self._truth(one) for one, new in zip(batch, stored, strict=True)
        ]

    def _truth(self, one: CompletedRequest) -> Outcome:
        try:
            return self.stored_outcome(one.request) or one.outcome
        except MessageError as exc:
            log.warning("the stored outcome of %s is mangled: %s", one.request.request_id, exc)
            return one.outcome

    def _send_to_dead_letters(self, batch: Sequence[CompletedRequest]) -> None:
        letters = [
            OutboundMessage(encode_request(one.request), note=one.dead_letter[:1024])
            for one in batch
            if one.dead_letter
        ]
        if letters:
            self._backend.dead_letters.send(letters)

    def _reply(self, requesters: Sequence[str], outcomes: Sequence[Outcome]) -> None:
        replies = defaultdict(list)
        for requester, outcome in zip(requesters, outcomes, strict=True):
            if requester and requester not in self._gone:
                replies[requester].append(
                    OutboundMessage(encode_reply(outcome), group=outcome.job_id)
                )
        for requester, messages in replies.items():
            self._reply_to(requester, messages)

    def _reply_to(self, requester: str, messages: list[OutboundMessage]) -> None:
        """Wake a requester up. That it left, or that this fails, loses nothing: it looks again."""
        try:
            self._queue_of(requester).send(messages)
        except QueueNotFoundError:
            self._queue_of.cache_clear()
            self._gone[requester] = None
            if len(self._gone) > MAX_GONE_REQUESTERS:
                self._gone.popitem(last=False)
        except BackendError as exc:
            log.warning("could not reply to %s: %s", requester, exc)


def _extension(image: bytes) -> str:
    found = sniff_format(image[:16])
    return found.extension if found else "bin"
