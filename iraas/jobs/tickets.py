"""Tickets: bearer tokens for the outcome of a single request.

A requester gets one if the outcome takes longer than it can wait. Single requests share a job, so
neither the job's id nor a request's id grants access. A ticket does: it cannot be guessed.
"""

from collections.abc import Callable

from iraas.core.ids import is_job_id, new_ulid, split_request_id
from iraas.core.keys import outcome_key, ticket_key
from iraas.core.outcomes import Outcome, decode_outcome
from iraas.core.ports import Backend
from iraas.errors import JobNotFoundError, ObjectNotFoundError


def issue_ticket(backend: Backend, request_id: str, clock: Callable[[], float]) -> str:
    """Create a ticket for a request's outcome.

    Args:
        backend: The deployment.
        request_id: The request.
        clock: Returns seconds since the epoch.

    Raises:
        BackendError: The records store failed.
    """
    ticket = new_ulid(clock())
    backend.records.put(ticket_key(ticket), request_id.encode())
    return ticket


def redeem_ticket(backend: Backend, ticket: str) -> Outcome | None:
    """Return the outcome that a ticket stands for; None while there is none. Idempotent.

    Args:
        backend: The deployment.
        ticket: The ticket.

    Raises:
        JobNotFoundError: There is no such ticket.
        MessageError: The stored outcome is corrupt.
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
