"""The pages, and the forms that work without a script."""

from http import HTTPStatus
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from iraas.services.retrying import retry_failures
from iraas.web.access import COOKIE, SESSION_S
from iraas.web.api_classify import context_of
from iraas.web.api_jobs import API_SOURCE, Index, JobId, find_view, image_json, summary_json
from iraas.web.bodies import read_small
from iraas.web.context import WebContext
from iraas.web.dashboard import DEFAULT_SPAN, SPAN_NAMES, SPANS_S, make_dashboard
from iraas.web.job_intake import JobIntake
from iraas.web.multipart import Part
from iraas.web.openapi import operations
from iraas.web.problems import Problem
from iraas.web.templating import page, static_folder

router = APIRouter(include_in_schema=False)
MAX_FORM_BYTES = 16_384
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
    context.admission.check()
    intake = JobIntake(
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
    return _see(f"/jobs/{job.job_id}")


@router.post("/examples")
async def try_examples(request: Request) -> Response:
    """Make a job of the example pictures, or of the only one that was chosen, and show it."""
    context = context_of(request)
    fields = await read_form(request)
    context.admission.check()
    parts = await context.run(_example_parts, fields.get("only", ""))
    result = await JobIntake(context, None, "examples").take(parts)
    assert result.job is not None
    await context.run(context.uploads.seal, result.job.job_id)
    return _see(f"/jobs/{result.job.job_id}")


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
    values = {"job": job, "cards": cards, "further": further, "first": first}
    return page("job", shared(request) | values)


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
    base = str(request.base_url).rstrip("/")
    values = {"info": document["info"], "operations": operations(document), "base": base}
    return page("docs", shared(request) | values)


@router.get("/login")
async def login_page(request: Request, next: Annotated[str, Query()] = "/") -> Response:  # noqa: A002 - the usual word
    """Where a browser gives the token."""
    return page("login", shared(request) | {"target": safe_target(next), "wrong": False})


@router.post("/login")
async def login(request: Request) -> Response:
    """Begin a session."""
    context = context_of(request)
    fields = _fields(await read_small(request, context.limits, MAX_FORM_BYTES))
    target = safe_target(fields.get("next", "/"))
    if not context.access.knows(fields.get("token", "")):
        values = shared(request) | {"target": target, "wrong": True}
        return page("login", values, status=HTTPStatus.FORBIDDEN)
    response = _see(target)
    response.set_cookie(
        COOKIE,
        context.access.new_session(),
        max_age=int(SESSION_S),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout")
async def logout(request: Request) -> Response:
    """End the session in this browser."""
    await read_form(request)
    response = _see("/login")
    response.delete_cookie(COOKIE)
    return response


def shared(request: Request) -> dict[str, object]:
    """What every page shows."""
    context = context_of(request)
    return {
        "deployment": context.deployment,
        "csrf": context.access.csrf_of(request.cookies.get(COOKIE, "")),
        "has_sessions": not context.access.is_free,
        "path": request.url.path,
    }


def check_form(request: Request, fields: dict[str, str]) -> None:
    """Refuse a form that no page of this session made.

    Raises:
        Problem: It was not.
    """
    access = context_of(request).access
    by_token = access.knows_bearer(request.headers.get("authorization", ""))
    if not by_token and not access.allows_form(
        request.cookies.get(COOKIE, ""), fields.get("csrf", "")
    ):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "the form was not made by a page of this session",
            code="bad-csrf-token",
            remedy="Load the page again.",
        )


async def read_form(request: Request) -> dict[str, str]:
    """Read a small form and check that a page of this session made it.

    Raises:
        Problem: It was not, or it is too long.
    """
    fields = _fields(await read_small(request, context_of(request).limits, MAX_FORM_BYTES))
    check_form(request, fields)
    return fields


def safe_target(target: str) -> str:
    """A path of this very site, wherever somebody wants to be sent."""
    parts = urlsplit(target.replace("\\", "/"))
    is_ours = target.startswith("/") and not parts.scheme and not parts.netloc
    return parts.path if is_ours and not parts.path.startswith("//") else "/"


def example_files() -> list[Path]:
    """The example pictures."""
    return sorted(Path(static_folder(), "examples").glob("*.jpg"))


def _example_parts(only: str) -> list[Part]:
    files = example_files()
    chosen = [one for one in files if one.name == only] or files
    pictures = [(one.name, one.read_bytes()) for one in chosen]
    return [Part("images", name, data, len(data)) for name, data in pictures]


async def _retry(request: Request, job_id: str, index: int | None) -> Response:
    context: WebContext = context_of(request)
    await read_form(request)
    view = await find_view(context, job_id)
    sender = context.sender(view.summary().job)
    await context.run(retry_failures, context.backend, view, sender, index=index)
    return _see(f"/jobs/{job_id}")


async def _dashboard(request: Request, template: str, span: str) -> Response:
    context = context_of(request)
    span = span if span in SPANS_S else DEFAULT_SPAN
    seen = await context.run(make_dashboard, context, SPANS_S[span])
    values = {"dashboard": seen, "span": span, "spans": SPAN_NAMES}
    return page(template, shared(request) | values)


def _fields(body: bytes) -> dict[str, str]:
    try:
        found = parse_qs(body.decode("ascii", "replace"), max_num_fields=50)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}


def _see(path: str) -> Response:
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)
