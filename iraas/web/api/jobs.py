"""``/api/v1/jobs``: many pictures together."""

import json
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from iraas.client.retry import MAX_RETRIED, retry_failures
from iraas.core.ids import MAX_JOB_SIZE, is_job_id
from iraas.core.jobs import Job
from iraas.monitoring.job_progress import JobImage, JobProgress, Kind
from iraas.web.api.classify import JSON, context_of
from iraas.web.api.schemas import MANY_PICTURES, AcceptedModel, JobModel, RetriedModel
from iraas.web.problems import Problem, not_found
from iraas.web.state import AppState
from iraas.web.uploads.upload_handler import Intake, UploadHandler
from iraas.web.webhook_delivery import check_webhook

router = APIRouter(tags=["Jobs"])
API_SOURCE = "upload"
MAX_PAGE = 1000
AT_WORK = frozenset({"open", "working"})
"""States of a job that somebody may still want outcomes of."""
LOOK_S = 0.05
"""How old what is known of a job may be for those who ask for it; more for a job that is large."""
JobId = Annotated[str, Path(description="The job's id.")]
Index = Annotated[int, Path(ge=0, lt=MAX_JOB_SIZE, description="The picture's place in the job.")]


@router.post(
    "/api/v1/jobs",
    summary="Start a job",
    status_code=HTTPStatus.ACCEPTED,
    responses={202: {"model": AcceptedModel, "description": "All that was accepted is queued."}},
    openapi_extra={"requestBody": MANY_PICTURES},
)
async def create_job(
    request: Request,
    *,
    keep_open: Annotated[
        bool,
        Query(
            alias="open", description="Leave the job open for more pictures; seal it at the end."
        ),
    ] = False,
    webhook: Annotated[
        str, Query(description="An address that is told when the job is done.")
    ] = "",
) -> Response:
    """Send any number of pictures as files of one form. When the answer comes, all of them are on
    the queue, durably. A file that is no picture is refused by name, with the reason, has a
    failure outcome in the job, and hinders no other.
    """
    context = context_of(request)
    if webhook:
        check_webhook(webhook, context.limits)
    context.check_room(request)
    intake = UploadHandler(context, None, API_SOURCE)
    if keep_open and not request.headers.get("content-type"):
        intake.result.job = await context.run(context.uploads.open, API_SOURCE)
        result = intake.result
    else:
        result = await intake.take_all(request)
    if result.job is None and keep_open:
        result.job = await context.run(context.uploads.open, API_SOURCE)
    if result.job is None:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "the form carries no file", code="no-picture"
        )
    job = result.job
    if not keep_open:
        job = await context.run(context.uploads.seal, job.job_id)
    if webhook:
        await context.run(context.webhooks.add, job.job_id, webhook)
    return _accepted(job, result)


@router.post(
    "/api/v1/jobs/{job_id}/images",
    summary="Add pictures to an open job",
    status_code=HTTPStatus.ACCEPTED,
    responses={202: {"model": AcceptedModel, "description": "All that was accepted is queued."}},
    openapi_extra={"requestBody": MANY_PICTURES},
)
async def add_images(request: Request, job_id: JobId) -> Response:
    """Send more pictures of a job that was started with `open=true`. Several requests at once may
    add to one job.
    """
    context = context_of(request)
    view = await find_view(context, job_id, older_than_s=1.0)
    context.check_room(request)
    result = await UploadHandler(context, view.summary().job, API_SOURCE).take_all(request)
    assert result.job is not None
    context.board.expire(job_id)
    return _accepted(replace(result.job, sealed=False), result)


@router.post(
    "/api/v1/jobs/{job_id}/seal",
    summary="Say that a job is complete",
    responses={200: {"model": JobModel, "description": "The job."}},
)
async def seal_job(request: Request, job_id: JobId) -> Response:
    """No more pictures can be added then. Idempotent."""
    context = context_of(request)
    await find_view(context, job_id)
    await context.run(context.uploads.seal, job_id)
    context.board.expire(job_id)
    return await _job(context, job_id)


@router.get(
    "/api/v1/jobs/{job_id}",
    summary="See how far a job is, and its outcomes",
    responses={200: {"model": JobModel, "description": "The job."}},
)
async def get_job(
    request: Request,
    job_id: JobId,
    after: Annotated[
        int, Query(ge=-1, lt=MAX_JOB_SIZE, description="Only pictures behind this place.")
    ] = -1,
    limit: Annotated[int, Query(ge=0, le=MAX_PAGE, description="Pictures at most.")] = 100,
    status: Annotated[Kind, Query(description="Only pictures of this kind.")] = "all",
) -> Response:
    """The job, and a page of its pictures with their outcomes; `next` leads to the next page."""
    return await _job(context_of(request), job_id, after=after, limit=limit, kind=status)


@router.post(
    "/api/v1/jobs/{job_id}/cancel",
    summary="Cancel a job",
    responses={200: {"model": JobModel, "description": "The job."}},
)
async def cancel_job(request: Request, job_id: JobId) -> Response:
    """Nobody wants the rest of it: no more pictures are taken. Those already on their way are still
    classified: the job is `cancelled` until then, and `done` afterwards. Outcomes stay. A job that
    is done already stays as it is. Idempotent.
    """
    context = context_of(request)
    await cancel_rest(context, job_id)
    return await _job(context, job_id, limit=0)


@router.delete(
    "/api/v1/jobs/{job_id}",
    summary="Delete a job, or cancel it while it is at work",
    responses={
        200: {"model": JobModel, "description": "It was at work, and is cancelled now."},
        204: {"description": "It is deleted, and was so before or not."},
    },
)
async def delete_job(request: Request, job_id: JobId) -> Response:
    """Deletes a job that is `done` or `cancelled`, with its pictures, outcomes and records, for
    good: its address is a 404 from then on. A job that is still at work is only cancelled, as
    `POST …/cancel` does; send it again to delete it. What a worker still had in its hands is
    removed a while after it is done.
    """
    context = context_of(request)
    if await is_deleted(context, job_id):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    view = await find_view(context, job_id)
    if view.summary().state in AT_WORK:
        await cancel_rest(context, job_id)
        return await _job(context, job_id, limit=0)
    await context.delete_job(job_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post(
    "/api/v1/jobs/{job_id}/retry",
    summary="Try failed pictures again",
    status_code=HTTPStatus.ACCEPTED,
    responses={202: {"model": RetriedModel, "description": "They are on the queue."}},
)
async def retry_job(
    request: Request,
    job_id: JobId,
    index: Annotated[
        int | None, Query(ge=0, lt=MAX_JOB_SIZE, description="Only the picture at this place.")
    ] = None,
) -> Response:
    """Send failed pictures again, those that had been sent at all: a file that is no picture stays
    refused. Nothing of a cancelled job is sent again.
    """
    retried = await retry_failed(context_of(request), job_id, index)
    return Response(
        json.dumps({"retried": retried}), status_code=HTTPStatus.ACCEPTED, media_type=JSON
    )


async def retry_failed(context: AppState, job_id: str, index: int | None) -> int:
    """Send failed images of a job again, all or the only one; gives back how many.

    Raises:
        Problem: There is no such job, or too many images are pending.
        UsageError: The job was cancelled.
        BackendError: A store failed.
    """
    view = await find_view(context, job_id)
    summary = view.summary()
    at_most = min(summary.failed, MAX_RETRIED) if index is None else 1
    with context.admission.take(at_most) as admitted:
        sender = context.sender(summary.job)
        retried = await context.run(retry_failures, context.backend, view, sender, index=index)
        admitted.sent(len(retried))
    context.board.expire(job_id)
    return len(retried)


async def find_view(context: AppState, job_id: str, *, older_than_s: float = 0.0) -> JobProgress:
    """A job's view.

    Raises:
        Problem: There is no such job.
    """
    if not is_job_id(job_id):
        raise not_found("there is no such job in this deployment")
    return await context.view(job_id, older_than_s=older_than_s)


async def is_deleted(context: AppState, job_id: str) -> bool:
    """Whether there was such a job, and it was deleted of late."""
    return is_job_id(job_id) and await context.run(context.deletion.was_deleted, job_id)


async def cancel_rest(context: AppState, job_id: str) -> None:
    """Cancel what is not done of a job; one that is done stays as it is.

    Raises:
        Problem: There is no such job.
    """
    view = await find_view(context, job_id)
    if view.summary().state != "done":
        await context.run(context.uploads.cancel, job_id)
        context.board.expire(job_id)


def summary_json(view: JobProgress) -> dict[str, Any]:
    """How far a job is, as JSON."""
    summary = view.summary()
    return {
        "job_id": view.job_id,
        "url": f"/jobs/{view.job_id}",
        "events_url": f"/api/v1/jobs/{view.job_id}/events",
        "created_at": summary.job.created_at,
        "state": summary.state,
        "cancelled": summary.job.cancelled,
        "total": summary.job.total,
        "done": summary.done,
        "failed": summary.failed,
        "is_counted": summary.is_counted,
    }


def image_json(job_id: str, image: JobImage) -> dict[str, Any]:
    """A picture of a job, as JSON."""
    url = f"/api/v1/jobs/{job_id}/images/{image.index}"
    return {
        "index": image.index,
        "name": image.name,
        "image_url": url,
        "thumbnail_url": f"{url}/thumbnail",
        "outcome": image.outcome.to_json() if image.outcome else None,
    }


async def _job(
    context: AppState, job_id: str, *, after: int = -1, limit: int = 100, kind: Kind = "all"
) -> Response:
    view = await find_view(context, job_id, older_than_s=LOOK_S)
    images = await context.run(view.images, after=after, limit=limit, kind=kind)
    further = None
    if limit and len(images) == limit:
        query = urlencode({"after": images[-1].index, "limit": limit, "status": kind})
        further = f"/api/v1/jobs/{job_id}?{query}"
    value = summary_json(view)
    value["images"] = [image_json(job_id, one) for one in images]
    value["next"] = further
    return Response(json.dumps(value), media_type=JSON)


def _accepted(job: Job, result: Intake) -> Response:
    url = f"/jobs/{job.job_id}"
    state = "working" if job.sealed else "open"
    value = {"job_id": job.job_id, "url": url, "state": state, **result.to_json()}
    return Response(
        json.dumps(value),
        status_code=HTTPStatus.ACCEPTED,
        headers={"Location": f"/api/v1/jobs/{job.job_id}"},
        media_type=JSON,
    )
