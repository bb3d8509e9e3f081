"""The images of a job: originals and thumbnails."""

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
from iraas.web.api.jobs import Index, JobId, find_progress
from iraas.web.limits.clients import client_of
from iraas.web.limits.memory import MemoryReservation
from iraas.web.pages.templating import static_folder
from iraas.web.problems import Problem, not_found
from iraas.web.state import AppState, state_of
from iraas.web.streaming.responses import PacedResponse

router = APIRouter(tags=["Images"])
ICON = "no-image.svg"
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
    summary="Get an image as it was sent",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def original(request: Request, job_id: JobId, index: Index) -> Response:
    """The image's bytes, as a download."""
    state = state_of(request)
    progress = await find_progress(state, job_id, older_than_s=VIEW_AGE_S)
    image = await state.run(progress.image, index)
    with ExitStack() as stack:
        reservation = stack.enter_context(state.memory.reserve(client_of(request.scope)))
        data = await _stored(
            state, job_id, index, reservation, within_s=state.limits.capacity_wait_s
        )
        found = sniff_format(data[:SNIFF_BYTES])
        filename = download_name(image.name if image else "", index, found)
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
            "Content-Security-Policy": SANDBOX,
            "Cache-Control": CACHED,
        }
        return PacedResponse(
            data, stack.pop_all(), state.limits, headers, "application/octet-stream"
        )


@router.get(
    "/api/v1/jobs/{job_id}/images/{index}/thumbnail",
    summary="Get an image's thumbnail",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}, "image/svg+xml": {}}}},
)
async def thumbnail(
    request: Request,
    job_id: JobId,
    index: Index,
    otherwise: Annotated[
        Literal["problem", "icon"],
        Query(description="Response if there is none: `icon` suits a web page."),
    ] = "problem",
) -> Response:
    """A JPEG of 320 pixels at most; where none can be made, the image itself, if browsers support
    its format.
    """
    await find_progress(state_of(request), job_id, older_than_s=VIEW_AGE_S)
    try:
        return await _thumbnail(request, job_id, index)
    except Problem as exc:
        if exc.status != HTTPStatus.NOT_FOUND or otherwise == "problem":
            raise
        return FileResponse(f"{static_folder()}/{ICON}", headers={"Cache-Control": "no-store"})


async def _thumbnail(request: Request, job_id: str, index: int) -> Response:
    state = state_of(request)
    headers = {"Content-Security-Policy": SANDBOX, "Cache-Control": CACHED}
    client = client_of(request.scope)
    if state.thumbnails.is_possible:

        async def read() -> bytes:
            with state.memory.reserve(client) as reservation:
                return await _stored(state, job_id, index, reservation)

        small = await state.thumbnails.make(job_id, request_id(job_id, index), read)
        if small is None:
            raise _no_thumbnail()
        return Response(small, headers=headers, media_type="image/jpeg")
    with ExitStack() as stack:
        reservation = stack.enter_context(state.memory.reserve(client))
        data = await _stored(
            state, job_id, index, reservation, within_s=state.limits.capacity_wait_s
        )
        found = sniff_format(data[:SNIFF_BYTES])
        if found not in SHOWN_BY_BROWSERS or len(data) > MAX_INLINE_BYTES:
            raise _no_thumbnail()
        assert found is not None
        return PacedResponse(data, stack.pop_all(), state.limits, headers, found.media_type)


def download_name(name: str, index: int, found: ImageFormat | None) -> str:
    """Choose the file name under which an image is saved.

    It is the last part of the image's name, without characters that are invisible or change the
    text direction, and with the extension of the actual format.

    Args:
        name: The image's name as it was sent; may be empty.
        index: The image's index in the job, used where nothing is left of the name.
        found: The format of its bytes; None if unknown.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(
        char for char in last if unicodedata.category(char)[0] not in "CZ" or char == " "
    )
    plain = plain.strip(" .")[-MAX_FILENAME_CHARACTERS:] or f"image-{index:08d}"
    ending = f".{found.extension}" if found else ".bin"
    if found is ImageFormat.JPEG and plain.lower().endswith((".jpeg", ".jpe", ".jfif")):
        return plain
    return plain if plain.lower().endswith(ending) else plain + ending


async def _stored(
    state: AppState,
    job_id: str,
    index: int,
    reservation: MemoryReservation,
    *,
    within_s: float = 0.0,
) -> bytes:
    """Read an image, after reserving memory for it."""
    stored = await state.run(find_stored_input, state.backend, request_id(job_id, index))
    if stored is not None:
        await reservation.grow_within(stored.size_bytes, within_s)
        with suppress(ObjectNotFoundError):
            return await state.run(state.backend.inputs.get, stored.key)
    raise not_found("this image is not stored, or not yet")


def _no_thumbnail() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "this image cannot be displayed", code="no-thumbnail")
