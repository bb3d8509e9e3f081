"""The deployment's status, for programs that watch over it."""

import json
from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from iraas.errors import BackendError
from iraas.monitoring.status import Status
from iraas.web.api.classify import JSON, context_of
from iraas.web.metrics import CONTENT_TYPE
from iraas.web.problems import Problem, problem_of

router = APIRouter(tags=["Deployment"])
STATUS_AGE_S = 0.2
READY_AGE_S = 5.0


@router.get(
    "/api/v1/status",
    summary="See the queue, the workers and the controller",
    responses={200: {"model": Status, "description": "The deployment."}},
)
async def status(request: Request) -> Response:
    """The deployment at this moment, rebuilt from its queue, its stores and its fleet."""
    context = context_of(request)
    seen = await context.run(context.status.latest, STATUS_AGE_S)
    return Response(json.dumps(seen.to_json()), media_type=JSON)


@router.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Metrics of this process and of the deployment."""
    context = context_of(request)
    try:
        seen = await context.run(context.status.latest, READY_AGE_S)
    except BackendError:
        seen = None
    text = context.metrics.exposition(seen, context.admission.pending)
    return Response(text, media_type=CONTENT_TYPE)


@router.get("/healthz", summary="Is the process alive?", response_class=PlainTextResponse)
async def healthz() -> Response:
    """Always `ok`, unless nobody answers."""
    return PlainTextResponse("ok\n")


@router.get("/readyz", summary="Can it take requests?", response_class=PlainTextResponse)
async def readyz(request: Request) -> Response:
    """`ok` if the backend answers, replies can be received and the server is not stopping."""
    context = context_of(request)
    try:
        await context.readiness.check()
    except BackendError as exc:
        raise problem_of(exc) from exc
    if context.closing or not context.router.is_listening:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the server is stopping" if context.closing else "replies cannot be received now",
            code="not-ready",
            headers={"Retry-After": "2"},
        )
    return PlainTextResponse("ok\n")
