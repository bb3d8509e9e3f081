"""Tickets: what a requester gets whose outcome takes longer than they can wait.

A request that was sent alone shares its job with those of others, so that neither the job's id nor
the request's gives a right to see anything. A ticket does: it cannot be guessed.
"""

from collections.abc import Callable

from iraas.core.ids import is_job_id, new_ulid, split_request_id
from iraas.core.keys import outcome_key, ticket_key
from iraas.core.outcomes import Outcome, decode_outcome
from iraas.core.ports import Backend
from iraas.errors import JobNotFoundError, ObjectNotFoundError


def issue_ticket(backend: Backend, request_id: str, clock: Callable[[], float]) -> str:
    """Make a ticket for a request's outcome.

    Raises:
        BackendError: The records failed.
    """
    ticket = new_ulid(clock())
    backend.records.put(ticket_key(ticket), request_id.encode())
    return ticket


def redeem_ticket(backend: Backend, ticket: str) -> Outcome | None:
    """The outcome behind a ticket; None while there is none.

    Raises:
        JobNotFoundError: There is no such ticket.
        BackendError: A store failed.
    """
    if not is_job_id(ticket):
        raise JobNotFoundError("there is no such ticket")
    try:
        request_id = backend.records.get(ticket_key(ticket)).decode("ascii")
        split_request_id(request_id)
    except (ObjectNotFoundError, ValueError) as exc:
        raise JobNotFoundError("there is no such ticket") from exc
    try:
        return decode_outcome(backend.outputs.get(outcome_key(request_id)))
    except ObjectNotFoundError:
        return None
