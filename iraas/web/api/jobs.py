"""``/api/v1/jobs``: jobs of many images."""

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
from iraas.monitoring.job_progress import ImageFilter, JobImage, JobProgress
from iraas.web.api.classify import JSON
from iraas.web.api.schemas import MANY_IMAGES, AcceptedModel, JobModel, RetriedModel
from iraas.web.problems import Problem, not_found
from iraas.web.state import AppState, state_of
from iraas.web.uploads.upload_handler import UploadHandler, UploadResult
from iraas.web.webhook_delivery import check_webhook

router = APIRouter(tags=["Jobs"])
API_SOURCE = "upload"
MAX_PAGE = 1000
IN_PROGRESS = frozenset({"open", "working"})
"""States of a job that may still get outcomes."""
MAX_PROGRESS_AGE_S = 0.05
"""Age at which cached progress is refreshed for a request; large jobs are refreshed less often."""
JobId = Annotated[str, Path(description="The job's id.")]
Index = Annotated[int, Path(ge=0, lt=MAX_JOB_SIZE, description="The image's index in the job.")]


@router.post(
    "/api/v1/jobs",
    summary="Start a job",
    status_code=HTTPStatus.ACCEPTED,
    responses={202: {"model": AcceptedModel, "description": "All that was accepted is queued."}},
    openapi_extra={"requestBody": MANY_IMAGES},
)
async def create_job(
    request: Request,
    *,
    keep_open: Annotated[
        bool,
        Query(alias="open", description="Leave the job open for more images; seal it at the end."),
    ] = False,
    webhook: Annotated[
        str, Query(description="An address that receives a POST when the job is done.")
    ] = "",
) -> Response:
    """Send any number of images as the files of one form. By the time of the response all of them
    are queued durably. A file that is not an image is refused by name, with the reason, and gets a
    failure outcome in the job; the others are not affected.
    """
    state = state_of(request)
    if webhook:
        check_webhook(webhook, state.limits)
    state.check_capacity(request)
    handler = UploadHandler(state, None, API_SOURCE)
    if keep_open and not request.headers.get("content-type"):
        handler.result.job = await state.run(state.jobs.open, API_SOURCE)
        result = handler.result
    else:
        result = await handler.receive(request)
    if result.job is None and keep_open:
        result.job = await state.run(state.jobs.open, API_SOURCE)
    if result.job is None:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "the form carries no file", code="no-picture"
        )
    job = result.job
    if not keep_open:
        job = await state.run(state.jobs.seal, job.job_id)
    if webhook:
        await state.run(state.webhooks.add, job.job_id, webhook)
    return _accepted(job, result)


@router.post(
    "/api/v1/jobs/{job_id}/images",
    summary="Add images to an open job",
    status_code=HTTPStatus.ACCEPTED,
    responses={202: {"model": AcceptedModel, "description": "All that was accepted is queued."}},
    openapi_extra={"requestBody": MANY_IMAGES},
)
async def add_images(request: Request, job_id: JobId) -> Response:
    """Send more images of a job that was started with `open=true`. Several requests may add to one
    job concurrently.
    """
    state = state_of(request)
    progress = await find_progress(state, job_id, older_than_s=1.0)
    state.check_capacity(request)
    result = await UploadHandler(state, progress.summary().job, API_SOURCE).receive(request)
    assert result.job is not None
    state.progress_cache.expire(job_id)
    return _accepted(replace(result.job, sealed=False), result)


@router.post(
    "/api/v1/jobs/{job_id}/seal",
    summary="Seal a job",
    responses={200: {"model": JobModel, "description": "The job."}},
)
async def seal_job(request: Request, job_id: JobId) -> Response:
    """Marks the job as complete: no more images can be added. Idempotent."""
    state = state_of(request)
    await find_progress(state, job_id)
    await state.run(state.jobs.seal, job_id)
    state.progress_cache.expire(job_id)
    return await _job(state, job_id)


@router.get(
    "/api/v1/jobs/{job_id}",
    summary="Get a job's progress and outcomes",
    responses={200: {"model": JobModel, "description": "The job."}},
)
async def get_job(
    request: Request,
    job_id: JobId,
    after: Annotated[
        int, Query(ge=-1, lt=MAX_JOB_SIZE, description="Only images after this index.")
    ] = -1,
    limit: Annotated[int, Query(ge=0, le=MAX_PAGE, description="Maximum number of images.")] = 100,
    status: Annotated[ImageFilter, Query(description="Only images with this status.")] = "all",
) -> Response:
    """The job and a page of its images with their outcomes; `next` links to the following page."""
    return await _job(state_of(request), job_id, after=after, limit=limit, kind=status)


@router.post(
    "/api/v1/jobs/{job_id}/cancel",
    summary="Cancel a job",
    responses={200: {"model": JobModel, "description": "The job."}},
)
async def cancel_job(request: Request, job_id: JobId) -> Response:
    """Cancels the rest of a job: it takes no more images. Images already queued are still
    classified: the job is `cancelled` until then, and `done` afterwards. Outcomes are kept. A job
    that is done stays as it is. Idempotent.
    """
    state = state_of(request)
    await cancel_rest(state, job_id)
    return await _job(state, job_id, limit=0)


@router.delete(
    "/api/v1/jobs/{job_id}",
    summary="Delete a job, or cancel it while it is in progress",
    responses={
        200: {"model": JobModel, "description": "It was in progress and is cancelled now."},
        204: {"description": "It is deleted now, or was before."},
    },
)
async def delete_job(request: Request, job_id: JobId) -> Response:
    """Deletes a job that is `done` or `cancelled`, with its images, outcomes and records,
    permanently: its address returns 404 from then on. A job still in progress is only cancelled, as
    by `POST …/cancel`; repeat the request to delete it. Outcomes that a worker stores later are
    removed by a cleanup.
    """
    state = state_of(request)
    if await is_deleted(state, job_id):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    progress = await find_progress(state, job_id)
    if progress.summary().state in IN_PROGRESS:
        await cancel_rest(state, job_id)
        return await _job(state, job_id, limit=0)
    await state.delete_job(job_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post(
    "/api/v1/jobs/{job_id}/retry",
    summary="Try failed images again",
    status_code=HTTPStatus.ACCEPTED,
    responses={202: {"model": RetriedModel, "description": "They are on the queue."}},
)
async def retry_job(
    request: Request,
    job_id: JobId,
    index: Annotated[
        int | None, Query(ge=0, lt=MAX_JOB_SIZE, description="Only the image with this index.")
    ] = None,
) -> Response:
    """Send failed images again, those that had been sent at all: a file that is no image stays
    refused. Nothing of a cancelled job is sent again.
    """
    retried = await retry_failed(state_of(request), job_id, index)
    return Response(
        json.dumps({"retried": retried}), status_code=HTTPStatus.ACCEPTED, media_type=JSON
    )


async def retry_failed(state: AppState, job_id: str, index: int | None) -> int:
    """Send failed images of a job again.

    Args:
        state: The services.
        job_id: The job.
        index: The only image to retry; None for all that failed.

    Returns:
        The number of images sent again.

    Raises:
        Problem: There is no such job, or too many images are pending.
        UsageError: The job was cancelled.
        BackendError: A store failed.
    """
    progress = await find_progress(state, job_id)
    summary = progress.summary()
    at_most = min(summary.failed, MAX_RETRIED) if index is None else 1
    with state.backlog.admit(at_most) as admitted:
        sender = state.sender(summary.job)
        retried = await state.run(retry_failures, state.backend, progress, sender, index=index)
        admitted.record_sent(len(retried))
    state.progress_cache.expire(job_id)
    return len(retried)


async def find_progress(state: AppState, job_id: str, *, older_than_s: float = 0.0) -> JobProgress:
    """Return the progress of a job named in a request.

    Args:
        state: The services.
        job_id: The id from the request, valid or not.
        older_than_s: Refresh the progress if it is older than so many seconds.

    Raises:
        Problem: There is no such job (404).
        BackendError: A store failed.
    """
    if not is_job_id(job_id):
        raise not_found("there is no such job in this deployment")
    return await state.job_progress(job_id, older_than_s=older_than_s)


async def is_deleted(state: AppState, job_id: str) -> bool:
    """Return whether a job of this id existed and was deleted recently."""
    return is_job_id(job_id) and await state.run(state.deletion.was_deleted, job_id)


async def cancel_rest(state: AppState, job_id: str) -> None:
    """Cancel a job unless it is done already. Idempotent.

    Raises:
        Problem: There is no such job (404).
        BackendError: A store failed.
    """
    progress = await find_progress(state, job_id)
    if progress.summary().state != "done":
        await state.run(state.jobs.cancel, job_id)
        state.progress_cache.expire(job_id)


def summary_json(progress: JobProgress) -> dict[str, Any]:
    """Format a job's progress as JSON."""
    summary = progress.summary()
    return {
        "job_id": progress.job_id,
        "url": f"/jobs/{progress.job_id}",
        "events_url": f"/api/v1/jobs/{progress.job_id}/events",
        "created_at": summary.job.created_at,
        "state": summary.state,
        "cancelled": summary.job.cancelled,
        "total": summary.job.total,
        "done": summary.done,
        "failed": summary.failed,
        "is_counted": summary.is_counted,
    }


def image_json(job_id: str, image: JobImage) -> dict[str, Any]:
    """Format an image of a job as JSON."""
    url = f"/api/v1/jobs/{job_id}/images/{image.index}"
    return {
        "index": image.index,
        "name": image.name,
        "image_url": url,
        "thumbnail_url": f"{url}/thumbnail",
        "outcome": image.outcome.to_json() if image.outcome else None,
    }


async def _job(
    state: AppState, job_id: str, *, after: int = -1, limit: int = 100, kind: ImageFilter = "all"
) -> Response:
    progress = await find_progress(state, job_id, older_than_s=MAX_PROGRESS_AGE_S)
    images = await state.run(progress.images, after=after, limit=limit, kind=kind)
    next_url = None
    if limit and len(images) == limit:
        query = urlencode({"after": images[-1].index, "limit": limit, "status": kind})
        next_url = f"/api/v1/jobs/{job_id}?{query}"
    value = summary_json(progress)
    value["images"] = [image_json(job_id, image) for image in images]
    value["next"] = next_url
    return Response(json.dumps(value), media_type=JSON)


def _accepted(job: Job, result: UploadResult) -> Response:
    url = f"/jobs/{job.job_id}"
    state = "working" if job.sealed else "open"
    value = {"job_id": job.job_id, "url": url, "state": state, **result.to_json()}
    return Response(
        json.dumps(value),
        status_code=HTTPStatus.ACCEPTED,
        headers={"Location": f"/api/v1/jobs/{job.job_id}"},
        media_type=JSON,
    )
