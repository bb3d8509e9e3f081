"""Receiving a single image and waiting for its outcome."""

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
from iraas.web.limits.admission import AdmittedImages
from iraas.web.limits.memory import MemoryReservation
from iraas.web.problems import Problem
from iraas.web.state import AppState

SEND_TIMEOUT_S = 15.0
"""Timeout for queueing an image; backends have timeouts of their own."""


@dataclass(frozen=True, slots=True)
class UploadedImage:
    """An image as it was sent: its name, for people only, and its bytes."""

    name: str
    data: bytes


async def read_image(
    request: Request, state: AppState, reservation: MemoryReservation
) -> UploadedImage:
    """Read the one image of a request, sent as a form with one file or as the whole body.

    Args:
        request: The request.
        state: The services.
        reservation: Grows with the received bytes.

    Raises:
        Problem: The body is malformed, too long, too slow, or has no image.
        ImageError: Its content cannot be an image.
        StorageFullError: The storage has no capacity for it.
        ClientDisconnect: The client disconnected.
    """
    state.check_capacity(request)
    content_type = request.headers.get("content-type", "")
    if content_type.lower().startswith("multipart/"):
        image = await _read_form(request, state, reservation, content_type)
    else:
        image = await _read_raw(request, state, reservation)
    check_image(image.data, state.limits.max_image_bytes)
    return image


async def send_and_wait(
    state: AppState, image: UploadedImage, wait_s: float
) -> tuple[str, Outcome | None]:
    """Send an image and wait for its outcome.

    Args:
        state: The services.
        image: The image, checked.
        wait_s: Seconds to wait at most.

    Returns:
        The request's id, and the outcome; None if the time is up or the server is stopping. The
        image is queued durably then.

    Raises:
        Problem: Too many images are pending.
        StorageFullError: The storage has no capacity for the image.
        BackendError: It could not be sent.
    """
    with state.backlog.admit(1) as admitted:
        state.storage.take(len(image.data))
        return await _send_admitted(state, image, wait_s, _PendingRequest(admitted))


async def _send_admitted(
    state: AppState, image: UploadedImage, wait_s: float, pending: "_PendingRequest"
) -> tuple[str, Outcome | None]:
    post = state.callbacks.post
    request_id = state.single_requests.send(
        image.name,
        image.data,
        register=lambda identity: state.reply_listener.register(
            identity, lambda outcome: post(partial(pending.on_outcome, outcome))
        ),
        on_sent=lambda error: post(partial(pending.on_sent, error)),
    )
    state.pending_outcomes.add(pending.outcome)
    try:
        async with asyncio.timeout(wait_s):
            outcome = await pending.outcome
    except TimeoutError:
        outcome = None
    finally:
        state.pending_outcomes.discard(pending.outcome)
        state.reply_listener.unregister(request_id)
    if outcome is None:
        await pending.wait_until_sent()
    state.metrics.accepted.inc()
    return request_id, outcome


class _PendingRequest:
    """A request whose outcome is awaited. Lives on the event loop."""

    def __init__(self, admitted: AdmittedImages) -> None:
        self._admitted = admitted
        self.outcome: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self._sent = asyncio.Event()
        self._error: Exception | None = None

    def on_outcome(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def on_sent(self, error: Exception | None) -> None:
        self._error = error
        self._sent.set()
        if error is None:
            self._admitted.record_sent(1)
        elif not self.outcome.done():
            self.outcome.set_exception(error)

    async def wait_until_sent(self) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._sent.wait()
        except TimeoutError:
            raise BackendUnavailableError("the image could not be sent in time") from None
        if self._error is not None:
            raise self._error


async def _read_raw(
    request: Request, state: AppState, reservation: MemoryReservation
) -> UploadedImage:
    max_bytes = state.limits.max_image_bytes
    data = bytearray()
    async for chunk in read_chunks(request, state):
        if len(data) + len(chunk) > max_bytes:
            raise _too_large(max_bytes)
        reservation.grow(len(chunk))
        data += chunk
    name = sanitize_name(request.query_params.get("name", "")) or NO_NAME
    return UploadedImage(name, bytes(data))


async def _read_form(
    request: Request, state: AppState, reservation: MemoryReservation, content_type: str
) -> UploadedImage:
    max_bytes = state.limits.max_image_bytes
    reader = MultipartReader(content_type, reservation, max_file_bytes=max_bytes, max_files=1)
    file: Part | None = None
    with closing(reader):
        async for chunk in read_chunks(request, state):
            for part in reader.feed(chunk):
                if part.filename is not None:
                    file = part
        reader.finish()
    if file is None:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "the form carries no file", code="no-picture"
        )
    if not file.is_whole:
        raise _too_large(max_bytes)
    return UploadedImage(file.filename or NO_NAME, file.data)


def _too_large(max_bytes: int) -> ImageTooLargeError:
    return ImageTooLargeError(f"it has more than the {max_bytes:,} bytes allowed")
