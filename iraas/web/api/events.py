"""The event streams."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from iraas.web.api.classify import context_of
from iraas.web.api.jobs import JobId, find_view
from iraas.web.limits.clients import client_of
from iraas.web.security.authenticator import session_of
from iraas.web.streaming.events import JobEvents, open_stream, read_cursor, status_events
from iraas.web.streaming.leased_response import LeasedStream

router = APIRouter()
MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_JOB_EXAMPLE = (
    "event: outcomes\nid: 0-1\ndata: [{…}, {…}]\n\n"
    'event: progress\ndata: {"state":"working","cancelled":false,"total":40,"done":2,"failed":0,'
    '"is_counted":true,"workers":2,"workers_on_their_way":0,"left_s":3}\n\n'
)


@router.get(
    "/api/v1/jobs/{job_id}/events",
    tags=["Jobs"],
    summary="Follow a job",
    response_class=StreamingResponse,
    responses={200: {"content": {MEDIA_TYPE: {"example": _JOB_EXAMPLE}}}},
)
async def job_events(
    request: Request,
    job_id: JobId,
    seen: Annotated[
        str, Query(description="Places whose outcomes you have already, such as `0-99,105`.")
    ] = "",
    last_event_id: Annotated[str, Header(description="Where a stream broke off.")] = "",
) -> Response:
    """Server-sent events: `outcomes` (an array of outcomes, those stored before first),
    `progress`, and `end` when every picture has its outcome, also those that were on their way
    when the job was cancelled; close the stream then. A stream that breaks off
    goes on where it was, also on another server.
    """
    context = context_of(request)
    view = await find_view(context, job_id, older_than_s=0.5)
    session = session_of(request.scope)
    stream = JobEvents(context, view, read_cursor(last_event_id or seen), session)
    return _stream(request, stream.stream)


@router.get(
    "/api/v1/status/events",
    tags=["Deployment"],
    summary="Follow the deployment",
    response_class=StreamingResponse,
    responses={200: {"content": {MEDIA_TYPE: {"example": "event: status\ndata: {…}\n\n"}}}},
)
async def follow_status(request: Request) -> Response:
    """Server-sent events: `status`, whenever it changed, every two seconds at most."""
    events = partial(status_events, context_of(request), session_of(request.scope))
    return _stream(request, events)


def _stream(request: Request, events: Callable[[asyncio.Event], AsyncIterator[str]]) -> Response:
    """Refuse before the answer begins what could not be refused in its middle; what is not refused
    counts from then on until the answer is over.
    """
    with ExitStack() as stack:
        alarm = stack.enter_context(open_stream(context_of(request), client_of(request.scope)))
        return LeasedStream(events(alarm), stack.pop_all(), media_type=MEDIA_TYPE, headers=HEADERS)
