"""The pictures of a job: as they were sent, and as thumbnails."""

import unicodedata
from contextlib import ExitStack, suppress
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, Response

from iraas.core.ids import request_id
from iraas.core.image_formats import SNIFF_BYTES, ImageFormat, sniff_format
from iraas.errors import ObjectNotFoundError
from iraas.jobs.store import find_stored_input
from iraas.web.api.classify import context_of
from iraas.web.api.jobs import Index, JobId, find_view
from iraas.web.limits.admission import MemoryReservation
from iraas.web.limits.clients import client_of
from iraas.web.pages.templating import static_folder
from iraas.web.problems import Problem, not_found
from iraas.web.state import AppState
from iraas.web.streaming.leased_response import LeasedResponse

router = APIRouter(tags=["Pictures"])
ICON = "no-picture.svg"
MAX_INLINE_BYTES = 20_000_000
MAX_FILENAME_CHARACTERS = 150
VIEW_AGE_S = 60.0
CACHED = "private, max-age=86400, immutable"
SANDBOX = "default-src 'none'; sandbox"
SHOWN_BY_BROWSERS = frozenset(
    {ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.GIF, ImageFormat.BMP}
)


@router.get(
    "/api/v1/jobs/{job_id}/images/{index}",
    summary="Get a picture as it was sent",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def original(request: Request, job_id: JobId, index: Index) -> Response:
    """The picture's bytes, as a download."""
    context = context_of(request)
    view = await find_view(context, job_id, older_than_s=VIEW_AGE_S)
    image = await context.run(view.image, index)
    with ExitStack() as stack:
        lease = stack.enter_context(context.admission.buffers.lease(client_of(request.scope)))
        data = await _stored(context, job_id, index, lease, within_s=context.limits.room_s)
        found = sniff_format(data[:SNIFF_BYTES])
        filename = download_name(image.name if image else "", index, found)
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
            "Content-Security-Policy": SANDBOX,
            "Cache-Control": CACHED,
        }
        return LeasedResponse(
            data, stack.pop_all(), context.limits, headers, "application/octet-stream"
        )


@router.get(
    "/api/v1/jobs/{job_id}/images/{index}/thumbnail",
    summary="Get a picture's thumbnail",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}, "image/svg+xml": {}}}},
)
async def thumbnail(
    request: Request,
    job_id: JobId,
    index: Index,
    otherwise: Annotated[
        Literal["problem", "icon"],
        Query(description="What to answer if there is none: `icon` suits a page."),
    ] = "problem",
) -> Response:
    """A JPEG of 320 pixels at most; where none can be made, the picture itself, if browsers show
    its format.
    """
    await find_view(context_of(request), job_id, older_than_s=VIEW_AGE_S)
    try:
        return await _thumbnail(request, job_id, index)
    except Problem as exc:
        if exc.status != HTTPStatus.NOT_FOUND or otherwise == "problem":
            raise
        return FileResponse(f"{static_folder()}/{ICON}", headers={"Cache-Control": "no-store"})


async def _thumbnail(request: Request, job_id: str, index: int) -> Response:
    context = context_of(request)
    headers = {"Content-Security-Policy": SANDBOX, "Cache-Control": CACHED}
    client = client_of(request.scope)
    if context.thumbnails.is_possible:

        async def read() -> bytes:
            with context.admission.buffers.lease(client) as lease:
                return await _stored(context, job_id, index, lease)

        small = await context.thumbnails.make(job_id, request_id(job_id, index), read)
        if small is None:
            raise _no_thumbnail()
        return Response(small, headers=headers, media_type="image/jpeg")
    with ExitStack() as stack:
        lease = stack.enter_context(context.admission.buffers.lease(client))
        data = await _stored(context, job_id, index, lease, within_s=context.limits.room_s)
        found = sniff_format(data[:SNIFF_BYTES])
        if found not in SHOWN_BY_BROWSERS or len(data) > MAX_INLINE_BYTES:
            raise _no_thumbnail()
        assert found is not None
        return LeasedResponse(data, stack.pop_all(), context.limits, headers, found.media_type)


def download_name(name: str, index: int, found: ImageFormat | None) -> str:
    """What a picture is called when it is saved: the last part of its name, without characters
    that hide or turn what follows, and with the ending that its bytes deserve.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(one for one in last if unicodedata.category(one)[0] not in "CZ" or one == " ")
    plain = plain.strip(" .")[-MAX_FILENAME_CHARACTERS:] or f"image-{index:08d}"
    ending = f".{found.extension}" if found else ".bin"
    if found is ImageFormat.JPEG and plain.lower().endswith((".jpeg", ".jpe", ".jfif")):
        return plain
    return plain if plain.lower().endswith(ending) else plain + ending


async def _stored(
    context: AppState, job_id: str, index: int, lease: MemoryReservation, *, within_s: float = 0.0
) -> bytes:
    """A picture's bytes, for which there was room before they were read."""
    stored = await context.run(find_stored_input, context.backend, request_id(job_id, index))
    if stored is not None:
        await lease.grow_within(stored.size_bytes, within_s)
        with suppress(ObjectNotFoundError):
            return await context.run(context.backend.inputs.get, stored.key)
    raise not_found("this picture is not stored, or not yet")


def _no_thumbnail() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "this picture cannot be shown", code="no-thumbnail")
