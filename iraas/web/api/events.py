"""Routes of the event streams."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from iraas.web.api.jobs import JobId, find_progress
from iraas.web.limits.clients import client_of
from iraas.web.security.authenticator import session_of
from iraas.web.state import state_of
from iraas.web.streaming.events import JobEvents, open_stream, read_cursor, status_events
from iraas.web.streaming.responses import ManagedStream

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
        str, Query(description="Indexes of outcomes received already, such as `0-99,105`.")
    ] = "",
    last_event_id: Annotated[str, Header(description="The id of the last event received.")] = "",
) -> Response:
    """Server-sent events: `outcomes` (an array of outcomes, starting with those stored already),
    `progress`, and `end` once every image has its outcome, including images that were queued when
    the job was cancelled; close the stream then. A stream that breaks off resumes where it was,
    also on another server.
    """
    state = state_of(request)
    progress = await find_progress(state, job_id, older_than_s=0.5)
    session = session_of(request.scope)
    stream = JobEvents(state, progress, read_cursor(last_event_id or seen), session)
    return _stream(request, stream.stream)


@router.get(
    "/api/v1/status/events",
    tags=["Deployment"],
    summary="Follow the deployment",
    response_class=StreamingResponse,
    responses={200: {"content": {MEDIA_TYPE: {"example": "event: status\ndata: {…}\n\n"}}}},
)
async def follow_status(request: Request) -> Response:
    """Server-sent events: `status`, whenever it has changed, at most every two seconds."""
    events = partial(status_events, state_of(request), session_of(request.scope))
    return _stream(request, events)


def _stream(request: Request, events: Callable[[asyncio.Event], AsyncIterator[str]]) -> Response:
    """Open a stream, counted until the response is over.

    The limit is checked before the response begins: afterwards it could not be refused.
    """
    with ExitStack() as stack:
        wakeup = stack.enter_context(open_stream(state_of(request), client_of(request.scope)))
        return ManagedStream(
            events(wakeup), stack.pop_all(), media_type=MEDIA_TYPE, headers=HEADERS
        )
