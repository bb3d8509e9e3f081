"""The pages, and the forms that work without a script."""

from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from iraas.errors import UsageError
from iraas.web.api.classify import context_of
from iraas.web.api.jobs import (
    API_SOURCE,
    AT_WORK,
    Index,
    JobId,
    cancel_rest,
    find_view,
    image_json,
    retry_failed,
    summary_json,
)
from iraas.web.http.multipart import Part
from iraas.web.pages.dashboard import DEFAULT_SPAN, SPAN_NAMES, SPANS_S, make_dashboard
from iraas.web.pages.docs import grouped
from iraas.web.pages.forms import check_form, read_form, see, shared
from iraas.web.pages.job_headline import headline
from iraas.web.pages.templating import page, static_folder
from iraas.web.problems import Problem
from iraas.web.uploads.upload_handler import UploadHandler

router = APIRouter(include_in_schema=False)
CARDS = 100


@router.get("/")
async def upload_page(request: Request) -> Response:
    """The upload page."""
    values = {
        "max_image_bytes": context_of(request).limits.max_image_bytes,
        "examples": [one.name for one in example_files()],
    }
    return page("upload", shared(request) | values)


@router.post("/upload")
async def upload(request: Request) -> Response:
    """The upload form without a script: makes a job, and shows it."""
    context = context_of(request)
    context.check_room(request)
    intake = UploadHandler(
        context, None, API_SOURCE, check_fields=lambda fields: check_form(request, fields)
    )
    result = await intake.take_all(request)
    check_form(request, result.fields)
    if result.job is None:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no picture was chosen",
            code="no-picture",
            remedy="Go back and choose at least one.",
        )
    job = await context.run(context.uploads.seal, result.job.job_id)
    return see(f"/jobs/{job.job_id}")


@router.post("/examples")
async def try_examples(request: Request) -> Response:
    """Make a job of the example pictures, or of the only one that was chosen, and show it."""
    context = context_of(request)
    fields = await read_form(request)
    context.check_room(request)
    parts = await context.run(_example_parts, fields.get("only", ""))
    result = await UploadHandler(context, None, "examples").take(parts)
    assert result.job is not None
    await context.run(context.uploads.seal, result.job.job_id)
    return see(f"/jobs/{result.job.job_id}")


@router.get("/jobs/{job_id}")
async def job_page(
    request: Request,
    job_id: JobId,
    after: Annotated[int, Query(ge=-1)] = -1,
) -> Response:
    """The results page; scripts fill in what comes later."""
    context = context_of(request)
    view = await find_view(context, job_id)
    images = await context.run(view.images, after=after, limit=CARDS)
    cards = [image_json(job_id, one) for one in images]
    further = f"/jobs/{job_id}?after={images[-1].index}" if len(images) == CARDS else None
    job = summary_json(view)
    first = {"job": job, "cards": cards, "shows_early": context.backend.name == "local"}
    values: dict[str, object] = {"job": job, "cards": cards, "further": further, "first": first}
    values |= {"headline": headline(job), "can_retry": _can_retry(job, cards)}
    return page("job", shared(request) | values)


@router.get("/jobs/{job_id}/cancel")
async def ask_to_cancel(request: Request, job_id: JobId) -> Response:
    """The question before a job is cancelled, without a script."""
    job = summary_json(await find_view(context_of(request), job_id))
    return page("cancel", shared(request) | {"job": job})


@router.post("/jobs/{job_id}/cancel")
async def cancel(request: Request, job_id: JobId) -> Response:
    """Cancel a job, and show it."""
    await read_form(request)
    await cancel_rest(context_of(request), job_id)
    return see(f"/jobs/{job_id}")


@router.get("/jobs/{job_id}/delete")
async def ask_to_delete(request: Request, job_id: JobId) -> Response:
    """The question before a job is deleted."""
    job = summary_json(await find_view(context_of(request), job_id))
    return page("delete", shared(request) | {"job": job})


@router.post("/jobs/{job_id}/delete")
async def delete(request: Request, job_id: JobId) -> Response:
    """Delete a job that is done or cancelled, and show the upload page."""
    context = context_of(request)
    await read_form(request)
    view = await find_view(context, job_id)
    if view.summary().state in AT_WORK:
        raise UsageError(
            "the job is still at work, and is not deleted before it is done or cancelled",
            remedy="Go back and cancel it first.",
        )
    await context.delete_job(job_id)
    return see("/")


@router.post("/jobs/{job_id}/retry")
async def retry_all(request: Request, job_id: JobId) -> Response:
    """The retry button without a script."""
    return await _retry(request, job_id, None)


@router.post("/jobs/{job_id}/retry/{index}")
async def retry_one(request: Request, job_id: JobId, index: Index) -> Response:
    """The retry button of one card without a script."""
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
    """The part of the dashboard that changes, for its script."""
    return await _dashboard(request, "_dashboard", span)


@router.get("/docs")
async def docs_page(request: Request) -> Response:
    """The API's documentation, made from its OpenAPI document."""
    document = request.app.openapi()
    base = context_of(request).public_url or str(request.base_url).rstrip("/")
    values = {"info": document["info"], "groups": grouped(document), "base": base}
    return page("docs", shared(request) | values)


def example_files() -> list[Path]:
    """The example pictures."""
    return sorted(Path(static_folder(), "examples").glob("*.jpg"))


def _example_parts(only: str) -> list[Part]:
    files = example_files()
    chosen = [one for one in files if one.name == only] or files
    pictures = [(one.name, one.read_bytes()) for one in chosen]
    return [Part("images", name, data, len(data)) for name, data in pictures]


async def _retry(request: Request, job_id: str, index: int | None) -> Response:
    await read_form(request)
    await retry_failed(context_of(request), job_id, index)
    return see(f"/jobs/{job_id}")


async def _dashboard(request: Request, template: str, span: str) -> Response:
    context = context_of(request)
    span = span if span in SPANS_S else DEFAULT_SPAN
    seen = await context.run(make_dashboard, context, SPANS_S[span])
    values = {"dashboard": seen, "span": span, "spans": SPAN_NAMES}
    return page(template, shared(request) | values)


def _can_retry(job: dict[str, Any], cards: list[dict[str, Any]]) -> bool:
    """Tell whether to offer a retry: a picture that was never sent cannot be tried again. Failures
    that lie on other pages may be of any kind.
    """
    outcomes = [one["outcome"] for one in cards if one["outcome"]]
    failed = [one for one in outcomes if one["status"] == "failed"]
    is_elsewhere = bool(job["failed"] > len(failed))
    return not job["cancelled"] and (is_elsewhere or any(one["attempts"] for one in failed))
