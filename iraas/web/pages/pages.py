"""The pages, and the forms that work without scripts."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from iraas.errors import UsageError
from iraas.web.api.jobs import (
    API_SOURCE,
    IN_PROGRESS,
    Index,
    JobId,
    cancel_rest,
    find_progress,
    image_json,
    retry_failed,
    summary_json,
)
from iraas.web.http.multipart import Part
from iraas.web.pages.dashboard import DEFAULT_SPAN, SPAN_NAMES, SPANS_S, make_dashboard
from iraas.web.pages.docs import grouped
from iraas.web.pages.forms import check_form, read_form, see, shared
from iraas.web.pages.templating import page, static_folder
from iraas.web.problems import Problem
from iraas.web.state import state_of
from iraas.web.uploads.upload_handler import UploadHandler

router = APIRouter(include_in_schema=False)
CARDS_PER_PAGE = 100


@dataclass(frozen=True, slots=True)
class Question:
    """A question that is asked before an action on a job.

    Attributes:
        action: The last segment of the form's path.
        title: The question.
        text: The consequences of the action.
        yes: The label of the button that confirms.
        no: The label of the link back to the job.
    """

    action: str
    title: str
    text: str
    yes: str
    no: str


CANCEL = Question(
    "cancel",
    "Cancel this job?",
    "No more images are accepted. Images already queued are still labelled, and existing labels "
    "are kept. A cancelled job cannot be resumed.",
    "Cancel the job",
    "Keep running",
)
DELETE = Question(
    "delete",
    "Delete this job?",
    "Its images and results are deleted permanently.",
    "Delete the job",
    "Keep it",
)
QUESTIONS = {question.action: question for question in (CANCEL, DELETE)}


@router.get("/")
async def upload_page(request: Request) -> Response:
    """The upload page."""
    values = {
        "max_image_bytes": state_of(request).limits.max_image_bytes,
        "examples": [file.name for file in example_files()],
    }
    return page("upload", shared(request) | values)


@router.post("/upload")
async def upload(request: Request) -> Response:
    """The upload form without scripts: creates a job and redirects to its page."""
    state = state_of(request)
    state.check_capacity(request)
    handler = UploadHandler(
        state, None, API_SOURCE, check_fields=lambda fields: check_form(request, fields)
    )
    result = await handler.receive(request)
    check_form(request, result.fields)
    if result.job is None:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no image was selected",
            code="no-picture",
            remedy="Go back and select at least one.",
        )
    job = await state.run(state.jobs.seal, result.job.job_id)
    return see(f"/jobs/{job.job_id}")


@router.post("/examples")
async def try_examples(request: Request) -> Response:
    """Create a job of the example images, or of the selected one, and redirect to its page."""
    state = state_of(request)
    fields = await read_form(request)
    state.check_capacity(request)
    parts = await state.run(_example_parts, fields.get("only", ""))
    result = await UploadHandler(state, None, "examples").add(parts)
    assert result.job is not None
    await state.run(state.jobs.seal, result.job.job_id)
    return see(f"/jobs/{result.job.job_id}")


@router.get("/jobs/{job_id}")
async def job_page(
    request: Request,
    job_id: JobId,
    after: Annotated[int, Query(ge=-1)] = -1,
) -> Response:
    """The results page; scripts add outcomes that arrive later."""
    state = state_of(request)
    progress = await find_progress(state, job_id)
    images = await state.run(progress.images, after=after, limit=CARDS_PER_PAGE)
    cards = [image_json(job_id, image) for image in images]
    next_url = f"/jobs/{job_id}?after={images[-1].index}" if len(images) == CARDS_PER_PAGE else None
    job = summary_json(progress)
    first = {"job": job, "cards": cards, "shows_early": state.backend.name == "local"}
    values: dict[str, object] = {"job": job, "cards": cards, "next_url": next_url, "first": first}
    values |= {"headline": headline(job), "can_retry": _can_retry(job, cards), "cancel": CANCEL}
    return page("job", shared(request) | values)


@router.get("/jobs/{job_id}/cancel")
@router.get("/jobs/{job_id}/delete")
async def confirmation_page(request: Request, job_id: JobId) -> Response:
    """The question before a job is cancelled or deleted, for browsers without scripts."""
    await find_progress(state_of(request), job_id)
    question = QUESTIONS[request.url.path.rpartition("/")[2]]
    return page("question", shared(request) | {"job_id": job_id, "question": question})


@router.post("/jobs/{job_id}/cancel")
async def cancel(request: Request, job_id: JobId) -> Response:
    """Cancel a job and redirect to its page."""
    await read_form(request)
    await cancel_rest(state_of(request), job_id)
    return see(f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/delete")
async def delete(request: Request, job_id: JobId) -> Response:
    """Delete a job that is done or cancelled, and redirect to the upload page."""
    state = state_of(request)
    await read_form(request)
    progress = await find_progress(state, job_id)
    if progress.summary().state in IN_PROGRESS:
        raise UsageError(
            "the job is still in progress; only a job that is done or cancelled can be deleted",
            remedy="Go back and cancel it first.",
        )
    await state.delete_job(job_id)
    return see("/")


@router.post("/jobs/{job_id}/retry")
async def retry_all(request: Request, job_id: JobId) -> Response:
    """The retry button without scripts."""
    return await _retry(request, job_id, None)


@router.post("/jobs/{job_id}/retry/{index}")
async def retry_one(request: Request, job_id: JobId, index: Index) -> Response:
    """The retry button of one card without scripts."""
    return await _retry(request, job_id, index)


@router.get("/dashboard")
async def dashboard_page(
    request: Request, span: Annotated[str, Query()] = DEFAULT_SPAN
) -> Response:
    """The dashboard."""
    return await _dashboard(request, "dashboard", span)


@router.get("/dashboard/live")
async def dashboard_part(
    request: Request, span: Annotated[str, Query()] = DEFAULT_SPAN
) -> Response:
    """The dynamic part of the dashboard, for its script."""
    return await _dashboard(request, "_dashboard", span)


@router.get("/docs")
async def docs_page(request: Request) -> Response:
    """The API's documentation, generated from its OpenAPI document."""
    document = request.app.openapi()
    base = state_of(request).public_url or str(request.base_url).rstrip("/")
    values = {"info": document["info"], "groups": grouped(document), "base": base}
    return page("docs", shared(request) | values)


def headline(job: Mapping[str, Any]) -> str:
    """Describe a job's progress, as the results page's script does (``headline.js``).

    Args:
        job: The job's summary, from `summary_json`.
    """
    total, done, failed = job["total"], job["done"], job["failed"]
    if job["state"] == "done":
        return f"{'Cancelled' if job['cancelled'] else 'Done'}: {_result_counts(job)}"
    if job["state"] == "cancelled":
        return f"Cancelled: {done:,} of {total:,} done, {total - done:,} were already queued"
    if not total:
        return "Waiting for the first image"
    progress = f"{done:,} of {total:,}"
    return f"{progress}, {failed:,} failed" if failed else progress


def _result_counts(job: Mapping[str, Any]) -> str:
    done, failed = job["done"], job["failed"]
    if not done:
        return "no images"
    if not job["is_counted"]:
        return f"{done:,} images"
    counts = ((done - failed, "labelled"), (failed, "failed"))
    return ", ".join(f"{count:,} {result}" for count, result in counts if count)


def example_files() -> list[Path]:
    """Return the example images."""
    return sorted(Path(static_folder(), "examples").glob("*.jpg"))


def _example_parts(only: str) -> list[Part]:
    files = example_files()
    chosen = [file for file in files if file.name == only] or files
    images = [(file.name, file.read_bytes()) for file in chosen]
    return [Part("images", name, data, len(data)) for name, data in images]


async def _retry(request: Request, job_id: str, index: int | None) -> Response:
    await read_form(request)
    await retry_failed(state_of(request), job_id, index)
    return see(f"/jobs/{job_id}")


async def _dashboard(request: Request, template: str, span: str) -> Response:
    state = state_of(request)
    span = span if span in SPANS_S else DEFAULT_SPAN
    dashboard = await state.run(make_dashboard, state, SPANS_S[span])
    values = {"dashboard": dashboard, "span": span, "spans": SPAN_NAMES}
    return page(template, shared(request) | values)


def _can_retry(job: dict[str, Any], cards: list[dict[str, Any]]) -> bool:
    """Return whether to offer a retry.

    An image that was never queued cannot be retried. Failures on other pages may be of either kind.
    """
    outcomes = [card["outcome"] for card in cards if card["outcome"]]
    failed = [outcome for outcome in outcomes if outcome["status"] == "failed"]
    has_failures_elsewhere = bool(job["failed"] > len(failed))
    return not job["cancelled"] and (
        has_failures_elsewhere or any(outcome["attempts"] for outcome in failed)
    )
