"""``/api/v1/classify`` with its tickets, and ``POST /`` for the public workload generators."""

import json
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import PlainTextResponse, Response

from iraas.core.outcomes import Outcome
from iraas.jobs.tickets import issue_ticket, redeem_ticket
from iraas.web.api.schemas import MAX_WAIT_S, ONE_IMAGE, OutcomeModel, TicketModel
from iraas.web.limits.clients import client_of
from iraas.web.problems import Problem
from iraas.web.state import AppState, state_of
from iraas.web.uploads.single_image import read_image, send_and_wait

router = APIRouter()
RETRY_S = "1"
JSON = "application/json"


async def classify(request: Request) -> Response:
    """Classify one image and wait; documented in `iraas.web.api.schemas.CLASSIFY`.

    Raises:
        Problem: The request is invalid, or the server has no capacity.
        IraasError: The body is not an image, or could not be sent.
    """
    state = state_of(request)
    wait_s = read_wait_s(request, state)
    with state.memory.reserve(client_of(request.scope)) as reservation:
        image = await read_image(request, state, reservation)
        request_id, outcome = await send_and_wait(state, image, wait_s)
    if outcome is not None:
        return _outcome(outcome)
    return await _ticket(state, request_id)


def read_wait_s(request: Request, state: AppState) -> float:
    """Read how long a client wants to wait, in seconds, capped at the configured limit.

    Raises:
        Problem: The parameter is not a number in the allowed range (422).
    """
    text = request.query_params.get("wait_s")
    if text is None:
        return state.limits.wait_s
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = -1.0
    if not 0 <= wait_s <= MAX_WAIT_S:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"wait_s must be a number of seconds in 0..{MAX_WAIT_S}",
            code="bad-parameter",
        )
    return min(wait_s, state.limits.max_wait_s)


@router.get(
    "/api/v1/tickets/{ticket}",
    tags=["Single images"],
    summary="Get the outcome for a ticket",
    responses={
        200: {"model": OutcomeModel, "description": "The outcome."},
        202: {"model": TicketModel, "description": "Not available yet."},
    },
)
async def ticket(
    request: Request,
    ticket: Annotated[str, Path(description="The ticket from `POST /api/v1/classify`.")],
) -> Response:
    """Returns the outcome of an image whose requester could not wait."""
    state = state_of(request)
    outcome = await state.run(redeem_ticket, state.backend, ticket)
    return _pending(ticket) if outcome is None else _outcome(outcome)


@router.post(
    "/",
    tags=["Single images"],
    summary="Classify one image, answer in plain text",
    responses={200: {"content": {"text/plain": {"example": "cat.jpg:tabby"}}}},
    response_class=PlainTextResponse,
    openapi_extra={"requestBody": ONE_IMAGE},
)
async def compatible(request: Request) -> Response:
    """Protocol of workload generators for this architecture: one form field `inputFile`, answered
    with `name:label` as plain text.
    """
    state = state_of(request)
    with state.memory.reserve(client_of(request.scope)) as reservation:
        image = await read_image(request, state, reservation)
        _, outcome = await send_and_wait(state, image, state.limits.compatible_wait_s)
    if outcome is None:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the image was accepted, but its outcome took too long",
            code="too-slow",
        )
    if outcome.prediction is None:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, outcome.reason, code="failed")
    return PlainTextResponse(f"{outcome.name}:{outcome.prediction.label}")


def _outcome(outcome: Outcome) -> Response:
    return Response(json.dumps(outcome.to_json()), media_type=JSON)


async def _ticket(state: AppState, request_id: str) -> Response:
    return _pending(await state.run(issue_ticket, state.backend, request_id, state.clock))


def _pending(ticket: str) -> Response:
    url = f"/api/v1/tickets/{ticket}"
    return Response(
        json.dumps({"ticket": ticket, "url": url, "status": "pending"}),
        status_code=HTTPStatus.ACCEPTED,
        headers={"Location": url, "Retry-After": RETRY_S},
        media_type=JSON,
    )
