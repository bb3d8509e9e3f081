"""``/api/v1/classify`` and its tickets, and ``POST /`` for the public workload generators."""

import json
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import PlainTextResponse, Response

from iraas.core.outcomes import Outcome
from iraas.jobs.tickets import issue_ticket, redeem_ticket
from iraas.web.api.schemas import MAX_WAIT_S, ONE_PICTURE, OutcomeModel, TicketModel
from iraas.web.limits.clients import client_of
from iraas.web.problems import Problem
from iraas.web.state import AppState
from iraas.web.uploads.single_image import read_picture, send_and_wait

router = APIRouter()
RETRY_S = "1"
JSON = "application/json"


async def classify(request: Request) -> Response:
    """Classify one picture and wait; described in `iraas.web.api.schemas.CLASSIFY`.

    Raises:
        Problem: The request is not what it should be, or there is no room.
        IraasError: The picture is none, or could not be sent.
    """
    context = context_of(request)
    wait_s = read_wait_s(request, context)
    with context.admission.buffers.lease(client_of(request.scope)) as lease:
        picture = await read_picture(request, context, lease)
        request_id, outcome = await send_and_wait(context, picture, wait_s)
    if outcome is not None:
        return _outcome(outcome)
    return await _ticket(context, request_id)


def read_wait_s(request: Request, context: AppState) -> float:
    """How long a client wants to wait, within the limit.

    Raises:
        Problem: It says something else.
    """
    text = request.query_params.get("wait_s")
    if text is None:
        return context.limits.wait_s
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
    return min(wait_s, context.limits.max_wait_s)


@router.get(
    "/api/v1/tickets/{ticket}",
    tags=["Single pictures"],
    summary="Come back for an outcome",
    responses={
        200: {"model": OutcomeModel, "description": "The outcome."},
        202: {"model": TicketModel, "description": "Not yet."},
    },
)
async def ticket(
    request: Request,
    ticket: Annotated[str, Path(description="As `POST /api/v1/classify` gave it.")],
) -> Response:
    """The outcome of a picture whose requester could not wait."""
    context = context_of(request)
    outcome = await context.run(redeem_ticket, context.backend, ticket)
    return _pending(ticket) if outcome is None else _outcome(outcome)


@router.post(
    "/",
    tags=["Single pictures"],
    summary="Classify one picture, answer in plain text",
    responses={200: {"content": {"text/plain": {"example": "cat.jpg:tabby"}}}},
    response_class=PlainTextResponse,
    openapi_extra={"requestBody": ONE_PICTURE},
)
async def compatible(request: Request) -> Response:
    """What workload generators for this architecture speak: one form field `inputFile`, and
    `name:label` as plain text back.
    """
    context = context_of(request)
    with context.admission.buffers.lease(client_of(request.scope)) as lease:
        picture = await read_picture(request, context, lease)
        _, outcome = await send_and_wait(context, picture, context.limits.compatible_wait_s)
    if outcome is None:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the picture was accepted, but its outcome took too long",
            code="too-slow",
        )
    if outcome.prediction is None:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, outcome.reason, code="failed")
    return PlainTextResponse(f"{outcome.name}:{outcome.prediction.label}")


def context_of(request: Request) -> AppState:
    """The services behind a request."""
    context: AppState = request.app.state.context
    return context


def _outcome(outcome: Outcome) -> Response:
    return Response(json.dumps(outcome.to_json()), media_type=JSON)


async def _ticket(context: AppState, request_id: str) -> Response:
    return _pending(await context.run(issue_ticket, context.backend, request_id, context.clock))


def _pending(ticket: str) -> Response:
    url = f"/api/v1/tickets/{ticket}"
    return Response(
        json.dumps({"ticket": ticket, "url": url, "status": "pending"}),
        status_code=HTTPStatus.ACCEPTED,
        headers={"Location": url, "Retry-After": RETRY_S},
        media_type=JSON,
    )
