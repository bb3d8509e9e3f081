"""The deployment's status and metrics, for monitoring."""

import json
from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from iraas.errors import BackendError
from iraas.monitoring.status import Status
from iraas.web.api.classify import JSON
from iraas.web.metrics import CONTENT_TYPE
from iraas.web.problems import Problem, problem_of
from iraas.web.state import state_of

router = APIRouter(tags=["Deployment"])
STATUS_AGE_S = 0.2
READY_AGE_S = 5.0


@router.get(
    "/api/v1/status",
    summary="Get the status of the queue, the workers and the controller",
    responses={200: {"model": Status, "description": "The deployment."}},
)
async def status(request: Request) -> Response:
    """The current state of the deployment, derived from its queue, stores and fleet."""
    state = state_of(request)
    current = await state.run(state.status.latest, STATUS_AGE_S)
    return Response(json.dumps(current.to_json()), media_type=JSON)


@router.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Metrics of this process and of the deployment."""
    state = state_of(request)
    try:
        current = await state.run(state.status.latest, READY_AGE_S)
    except BackendError:
        current = None
    text = state.metrics.exposition(current, state.backlog.pending)
    return Response(text, media_type=CONTENT_TYPE)


@router.get("/healthz", summary="Is the process alive?", response_class=PlainTextResponse)
async def healthz() -> Response:
    """Always `ok`: the process responds."""
    return PlainTextResponse("ok\n")


@router.get("/readyz", summary="Can it take requests?", response_class=PlainTextResponse)
async def readyz(request: Request) -> Response:
    """`ok` if the backend responds, replies can be received and the server is not stopping."""
    state = state_of(request)
    try:
        await state.readiness.check()
    except BackendError as exc:
        raise problem_of(exc) from exc
    if state.closing or not state.reply_listener.is_listening:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the server is stopping" if state.closing else "replies cannot be received now",
            code="not-ready",
            headers={"Retry-After": "2"},
        )
    return PlainTextResponse("ok\n")
