"""One picture that is sent alone, and the wait for its outcome."""

import asyncio
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from starlette.requests import Request

from iraas.client.sender import check_image
from iraas.core.jobs import sanitize_name
from iraas.core.outcomes import Outcome
from iraas.errors import BackendUnavailableError, ImageTooLargeError
from iraas.web.http.bodies import read_chunks
from iraas.web.http.multipart import NO_NAME, MultipartReader, Part
from iraas.web.limits.admission import Admitted, MemoryReservation
from iraas.web.problems import Problem
from iraas.web.state import AppState

SEND_S = 15.0
"""How long a request may wait for its send to be durable; backends have bounds of their own."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: its name, for people only, and its bytes."""

    name: str
    data: bytes


async def read_picture(request: Request, context: AppState, lease: MemoryReservation) -> Picture:
    """Read a request that carries one picture: as a form with one file, or as its whole body.

    Raises:
        Problem: The body is mangled, too long, too slow, or not one picture.
        ImageError: It cannot be a picture.
        StorageFullError: There is no room for it.
        ClientDisconnect: The client left.
    """
    context.check_room(request)
    content_type = request.headers.get("content-type", "")
    if content_type.lower().startswith("multipart/"):
        picture = await _read_form(request, context, lease, content_type)
    else:
        picture = await _read_raw(request, context, lease)
    check_image(picture.data, context.limits.max_image_bytes)
    return picture


async def send_and_wait(
    context: AppState, picture: Picture, wait_s: float
) -> tuple[str, Outcome | None]:
    """Send a picture and wait for its outcome; gives back its request's id, and the outcome, or
    None if the time is up, or the server is about to stop: then it is on the queue, durably.

    Raises:
        Problem: There is no room.
        BackendError: It could not be sent.
    """
    with context.admission.take(1) as admitted:
        context.storage.take(len(picture.data))
        return await _send_admitted(context, picture, wait_s, _Waiter(admitted))


async def _send_admitted(
    context: AppState, picture: Picture, wait_s: float, waiter: "_Waiter"
) -> tuple[str, Outcome | None]:
    post = context.inbox.post
    request_id = context.singles.send(
        picture.name,
        picture.data,
        register=lambda identity: context.router.register(
            identity, lambda outcome: post(partial(waiter.conclude, outcome))
        ),
        on_sent=lambda error: post(partial(waiter.note_sent, error)),
    )
    context.waiting.add(waiter.outcome)
    try:
        async with asyncio.timeout(wait_s):
            outcome = await waiter.outcome
    except TimeoutError:
        outcome = None
    finally:
        context.waiting.discard(waiter.outcome)
        context.router.unregister(request_id)
    if outcome is None:
        await waiter.wait_until_sent()
    context.metrics.accepted.inc()
    return request_id, outcome


class _Waiter:
    """Lives on the event loop."""

    def __init__(self, admitted: Admitted) -> None:
        self._admitted = admitted
        self.outcome: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self._sent = asyncio.Event()
        self._error: Exception | None = None

    def conclude(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def note_sent(self, error: Exception | None) -> None:
        self._error = error
        self._sent.set()
        if error is None:
            self._admitted.sent(1)
        elif not self.outcome.done():
            self.outcome.set_exception(error)

    async def wait_until_sent(self) -> None:
        try:
            async with asyncio.timeout(SEND_S):
                await self._sent.wait()
        except TimeoutError:
            raise BackendUnavailableError("the picture could not be sent in time") from None
        if self._error is not None:
            raise self._error


async def _read_raw(request: Request, context: AppState, lease: MemoryReservation) -> Picture:
    most = context.limits.max_image_bytes
    data = bytearray()
    async for chunk in read_chunks(request, context):
        if len(data) + len(chunk) > most:
            raise _too_large(most)
        lease.grow(len(chunk))
        data += chunk
    name = sanitize_name(request.query_params.get("name", "")) or NO_NAME
    return Picture(name, bytes(data))


async def _read_form(
    request: Request, context: AppState, lease: MemoryReservation, content_type: str
) -> Picture:
    most = context.limits.max_image_bytes
    reader = MultipartReader(content_type, lease, max_file_bytes=most, max_files=1)
    found: Part | None = None
    with closing(reader):
        async for chunk in read_chunks(request, context):
            for part in reader.feed(chunk):
                if part.filename is not None:
                    found = part
        reader.finish()
    if found is None:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "the form carries no file", code="no-picture"
        )
    if not found.is_whole:
        raise _too_large(most)
    return Picture(found.filename or NO_NAME, found.data)


def _too_large(most: int) -> ImageTooLargeError:
    return ImageTooLargeError(f"it has more than the {most:,} bytes allowed")
