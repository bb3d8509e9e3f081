"""Finishing a request: store the input and the outcome, reply, delete the message, in that order.

Every step is idempotent and the process may die between any two: input and outcome are stored only
if absent, requesters ignore a second reply, and a message that was not deleted is redelivered,
finds its stored outcome, and is replied to and deleted then.
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
MAX_DEPARTED_REQUESTERS = 1000
MAX_OPEN_QUEUES = 32


@dataclass(frozen=True, slots=True)
class CompletedRequest:
    """A request with its outcome.

    Attributes:
        request: The request.
        outcome: Its outcome.
        receipt: The receipt of its message in the request queue.
        dead_letter: Why the message also goes to the dead-letter queue; empty if it does not.
        took_s: Seconds that the worker spent on it.
    """

    request: Request
    outcome: Outcome
    receipt: str
    dead_letter: str = ""
    took_s: float = 0.0


class OutcomeWriter:
    """Writes outcomes in an order that loses none. Not thread-safe.

    Args:
        backend: The deployment.
        fault: Injects faults in tests, after each step.
    """

    def __init__(self, backend: Backend, fault: FaultHook = no_fault) -> None:
        self._backend = backend
        self._fault = fault
        self._departed: OrderedDict[str, None] = OrderedDict()
        self._find_queue = lru_cache(MAX_OPEN_QUEUES)(backend.responses.find)

    def finish(self, batch: Sequence[CompletedRequest]) -> list[Outcome]:
        """Finish requests together. Idempotent.

        Args:
            batch: The requests, each with the receipt of its message.

        Returns:
            The stored outcomes in the order of the batch. Where another worker stored one first,
            it is that worker's.

        Raises:
            BackendError: A store or the request queue failed. Messages that were not deleted are
                redelivered.
        """
        self._store_inputs(batch)
        self._inject_faults(batch, "input-stored")
        outcomes = self._store_outcomes(batch)
        self._inject_faults(batch, "outcome-stored")
        self._send_to_dead_letters(batch)
        self._reply([completed.request.reply_to for completed in batch], outcomes)
        self._inject_faults(batch, "replied")
        self._backend.requests.delete(
            [completed.receipt for completed in batch], [completed.took_s for completed in batch]
        )
        self._inject_faults(batch, "deleted")
        return outcomes

    def settle(self, request: Request, outcome: Outcome) -> Outcome:
        """Store a request's outcome unless it has one, and reply. Idempotent.

        Deletes no message, unlike `finish`.

        Args:
            request: The request.
            outcome: The outcome to store.

        Returns:
            The stored outcome.

        Raises:
            BackendError: A store failed.
        """
        batch = [CompletedRequest(request, outcome, receipt="")]
        self._store_inputs(batch)
        outcomes = self._store_outcomes(batch)
        self._reply([request.reply_to], outcomes)
        return outcomes[0]

    def stored_outcome(self, request: Request) -> Outcome | None:
        """The stored outcome of a request; None if there is none.

        Raises:
            MessageError: The stored outcome is corrupt.
            BackendError: The output store failed.
        """
        try:
            return decode_outcome(self._backend.outputs.get(outcome_key(request.request_id)))
        except ObjectNotFoundError:
            return None

    def _inject_faults(self, batch: Sequence[CompletedRequest], point: str) -> None:
        for completed in batch:
            self._fault(point, completed.request.name)

    def _store_inputs(self, batch: Sequence[CompletedRequest]) -> None:
        images = [(item.request.request_id, item.request.image) for item in batch]
        objects = [
            (input_key(request_id, _extension(image)), image)
            for request_id, image in images
            if image is not None
        ]
        if objects:
            self._backend.inputs.put_if_absent(objects)

    def _store_outcomes(self, batch: Sequence[CompletedRequest]) -> list[Outcome]:
        stored = self._backend.outputs.put_if_absent(
            [(outcome_key(item.request.request_id), item.outcome.encode()) for item in batch]
        )
        return [
            item.outcome if is_new else self._existing_outcome(item)
            for item, is_new in zip(batch, stored, strict=True)
        ]

    def _existing_outcome(self, completed: CompletedRequest) -> Outcome:
        try:
            return self.stored_outcome(completed.request) or completed.outcome
        except MessageError as exc:
            log.warning("corrupt stored outcome of %s: %s", completed.request.request_id, exc)
            return completed.outcome

    def _send_to_dead_letters(self, batch: Sequence[CompletedRequest]) -> None:
        letters = [
            OutboundMessage(encode_request(item.request), note=item.dead_letter[:1024])
            for item in batch
            if item.dead_letter
        ]
        if letters:
            self._backend.dead_letters.send(letters)

    def _reply(self, requesters: Sequence[str], outcomes: Sequence[Outcome]) -> None:
        replies = defaultdict(list)
        for requester, outcome in zip(requesters, outcomes, strict=True):
            if requester and requester not in self._departed:
                replies[requester].append(
                    OutboundMessage(encode_reply(outcome), group=outcome.job_id)
                )
        for requester, messages in replies.items():
            self._reply_to(requester, messages)

    def _reply_to(self, requester: str, messages: list[OutboundMessage]) -> None:
        """Notify a requester. A lost reply loses nothing: requesters also poll the store."""
        try:
            self._find_queue(requester).send(messages)
        except QueueNotFoundError:
            self._find_queue.cache_clear()
            self._departed[requester] = None
            if len(self._departed) > MAX_DEPARTED_REQUESTERS:
                self._departed.popitem(last=False)
        except BackendError as exc:
            log.warning("could not reply to %s: %s", requester, exc)


def _extension(image: bytes) -> str:
    found = sniff_format(image[:16])
    return found.extension if found else "bin"
