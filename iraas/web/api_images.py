"""The pictures of a job: as they were sent, and as thumbnails."""

import unicodedata
from http import HTTPStatus
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from iraas.core.formats import SNIFF_BYTES, ImageFormat, sniff_format
from iraas.core.ids import request_id
from iraas.errors import ObjectNotFoundError
from iraas.services.sending import find_input
from iraas.web.api_classify import context_of
from iraas.web.api_jobs import Index, JobId, find_view
from iraas.web.context import WebContext
from iraas.web.problems import Problem, not_found

router = APIRouter(tags=["Pictures"])
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
    data = await _stored(context, job_id, index)
    image = await context.run(view.image, index)
    found = sniff_format(data[:SNIFF_BYTES])
    filename = download_name(image.name if image else "", index, found)
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
        "Content-Security-Policy": SANDBOX,
        "Cache-Control": CACHED,
    }
    return Response(data, headers=headers, media_type="application/octet-stream")


@router.get(
    "/api/v1/jobs/{job_id}/images/{index}/thumbnail",
    summary="Get a picture's thumbnail",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
async def thumbnail(request: Request, job_id: JobId, index: Index) -> Response:
    """A JPEG of 320 pixels at most; where none can be made, the picture itself, if browsers show
    its format.
    """
    context = context_of(request)
    await find_view(context, job_id, older_than_s=VIEW_AGE_S)
    data = await _stored(context, job_id, index)
    headers = {"Content-Security-Policy": SANDBOX, "Cache-Control": CACHED}
    small = await context.thumbnails.make(data)
    if small is not None:
        return Response(small, headers=headers, media_type="image/jpeg")
    found = sniff_format(data[:SNIFF_BYTES])
    can_shrink = context.thumbnails.is_possible
    if can_shrink or found not in SHOWN_BY_BROWSERS or len(data) > MAX_INLINE_BYTES:
        raise Problem(HTTPStatus.NOT_FOUND, "this picture cannot be shown", code="no-thumbnail")
    assert found is not None
    return Response(data, headers=headers, media_type=found.media_type)


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


async def _stored(context: WebContext, job_id: str, index: int) -> bytes:
    try:
        data = await context.run(_read, context, request_id(job_id, index))
    except ObjectNotFoundError:
        data = None
    if data is None:
        raise not_found("this picture is not stored, or not yet")
    return data


def _read(context: WebContext, identity: str) -> bytes | None:
    key = find_input(context.backend, identity)
    return context.backend.inputs.get(key) if key else None
