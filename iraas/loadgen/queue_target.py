"""Requests sent to the queue directly, as the web tier sends them: in batches, with a response
queue of this process, and outcomes from the store where a reply is lost.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from functools import partial
from typing import Self

from iraas.client.batch_sender import BatchSender
from iraas.client.reply_listener import ReplyListener
from iraas.client.sender import check_image
from iraas.client.single_requests import SingleRequestClient
from iraas.core.outcomes import Outcome
from iraas.core.ports import Backend
from iraas.errors import BackendError, ImageError, IraasError
from iraas.loadgen.images import LoadedImage
from iraas.loadgen.results import Failure, RequestResult, result_of

WRITE_DOWN_S = 1.0


class QueueTarget:
    """The request queue of a deployment as a target. Used from one event loop.

    Args:
        backend: The deployment, open.
        max_image_bytes: The largest image that is sent.
        clock: Returns seconds since the epoch.
    """

    def __init__(
        self, backend: Backend, *, max_image_bytes: int, clock: Callable[[], float]
    ) -> None:
        self._max_image_bytes = max_image_bytes
        self._reply_listener = ReplyListener(
            backend, new_id=lambda: f"loadgen-{secrets.token_hex(8)}"
        )
        self._batch_sender = BatchSender(backend)
        self._single_requests = SingleRequestClient(
            backend,
            self._batch_sender,
            requester_id=lambda: self._reply_listener.requester_id,
            clock=clock,
        )

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._reply_listener.start)
        self._batch_sender.start()
        self._write_down_task = self._loop.create_task(self._write_down())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._write_down_task.cancel()
        await asyncio.to_thread(self._batch_sender.stop)
        with contextlib.suppress(BackendError):
            await asyncio.to_thread(self._single_requests.close)
        await asyncio.to_thread(self._reply_listener.stop)

    async def classify(self, image: LoadedImage, until: float) -> RequestResult:
        """Send an image and wait for its outcome. See `iraas.loadgen.results.Target`."""
        del until  # the caller cancels the wait
        try:
            check_image(image.data, self._max_image_bytes)
        except ImageError as exc:
            return RequestResult(failure=Failure.REFUSED, reason=str(exc))
        outcome: asyncio.Future[Outcome] = self._loop.create_future()
        request_id = self._single_requests.send(
            image.name,
            image.data,
            register=lambda identity: self._reply_listener.register(
                identity, lambda received: self._post(partial(_on_outcome, outcome, received))
            ),
            on_sent=lambda error: self._post(partial(_on_sent, outcome, error)),
        )
        try:
            return result_of(await outcome, image.name)
        except (IraasError, OSError, ValueError) as exc:
            return RequestResult(failure=Failure.SERVER, reason=str(exc), request_id=request_id)
        finally:
            self._reply_listener.unregister(request_id)

    def _post(self, callback: Callable[[], None]) -> None:
        """Schedule a function on the event loop, which may be closed by then."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)

    async def _write_down(self) -> None:
        while True:
            await asyncio.sleep(WRITE_DOWN_S)
            with contextlib.suppress(BackendError):
                await asyncio.to_thread(self._single_requests.flush)


def _on_outcome(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _on_sent(future: asyncio.Future[Outcome], error: Exception | None) -> None:
    if error is not None and not future.done():
        future.set_exception(error)
