"""Requests straight at the queue, as the web tier sends them: batched, with a response queue of
this process's own, and outcomes from the store where a reply is lost.
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
from iraas.loadgen.answers import Answer, Failure, answer_of
from iraas.loadgen.images import LoadedPicture

NOTE_S = 1.0


class QueueTarget:
    """The request queue of a deployment.

    Args:
        backend: The deployment, open.
        max_image_bytes: The largest picture that is sent.
        clock: Gives seconds since the epoch.
    """

    def __init__(
        self, backend: Backend, *, max_image_bytes: int, clock: Callable[[], float]
    ) -> None:
        self._max_image_bytes = max_image_bytes
        self._router = ReplyListener(backend, new_id=lambda: f"loadgen-{secrets.token_hex(8)}")
        self._batcher = BatchSender(backend)
        self._singles = SingleRequestClient(
            backend, self._batcher, requester_id=lambda: self._router.requester_id, clock=clock
        )

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._router.start)
        self._batcher.start()
        self._notes = self._loop.create_task(self._write_down())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._notes.cancel()
        await asyncio.to_thread(self._batcher.stop)
        with contextlib.suppress(BackendError):
            await asyncio.to_thread(self._singles.close)
        await asyncio.to_thread(self._router.stop)

    async def classify(self, picture: LoadedPicture, until: float) -> Answer:
        """Send a picture and wait for its outcome. See `iraas.loadgen.answers.Target`."""
        del until  # a reply is waited for until the caller gives up
        try:
            check_image(picture.data, self._max_image_bytes)
        except ImageError as exc:
            return Answer(failure=Failure.REFUSED, reason=str(exc))
        outcome: asyncio.Future[Outcome] = self._loop.create_future()
        request_id = self._singles.send(
            picture.name,
            picture.data,
            register=lambda identity: self._router.register(
                identity, lambda told: self._post(partial(_conclude, outcome, told))
            ),
            on_sent=lambda error: self._post(partial(_note_sent, outcome, error)),
        )
        try:
            return answer_of(await outcome, picture.name)
        except (IraasError, OSError, ValueError) as exc:
            return Answer(failure=Failure.SERVER, reason=str(exc), request_id=request_id)
        finally:
            self._router.unregister(request_id)

    def _post(self, step: Callable[[], None]) -> None:
        """Have the event loop do something; it may be closed by then if nobody waits any more."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(step)

    async def _write_down(self) -> None:
        while True:
            await asyncio.sleep(NOTE_S)
            with contextlib.suppress(BackendError):
                await asyncio.to_thread(self._singles.flush)


def _conclude(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _note_sent(future: asyncio.Future[Outcome], error: Exception | None) -> None:
    if error is not None and not future.done():
        future.set_exception(error)
