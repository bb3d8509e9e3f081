"""Receiving the images of a request into a job, in chunks, so that memory stays bounded."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from starlette.requests import ClientDisconnect, Request

from iraas.client.batch_sender import PendingSend
from iraas.client.sender import ImageUpload, check_image
from iraas.core.jobs import PAGE_SIZE, Job, ManifestEntry
from iraas.errors import BackendError, ImageError, ImageTooLargeError, IraasError
from iraas.web.http.bodies import read_chunks
from iraas.web.http.multipart import MultipartReader, Part
from iraas.web.http.open_bodies import stopping
from iraas.web.limits.admission import AdmittedImages
from iraas.web.limits.clients import client_of
from iraas.web.limits.memory import MemoryReservation
from iraas.web.problems import Problem, problem_of
from iraas.web.state import AppState

FLUSH_IMAGES = 32
FLUSH_BYTES = 4_000_000
MAX_REFUSALS_LISTED = 1000
CAPACITY_POLL_S = 0.25
TRANSIENT_STATUSES = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.INSUFFICIENT_STORAGE,
    }
)
"""After such a problem the accepted images are kept, and the client sends the rest later."""


@dataclass(slots=True)
class UploadResult:
    """The result of receiving a request's images.

    Attributes:
        job: The job they belong to; None before the first image of a new job.
        accepted: Number of images on the queue.
        refused: Index, name and reason of each file that is not an image. Each has a failure
            outcome in the job.
        fields: The other fields of the form.
    """

    job: Job | None
    accepted: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of images added to the job."""
        return self.accepted + len(self.refused)

    def to_json(self) -> dict[str, Any]:
        """Return the part of the response about the images."""
        return {"accepted": self.accepted, "refused": self.refused[:MAX_REFUSALS_LISTED]}


@dataclass(frozen=True, slots=True)
class _ReceivedFile:
    """A file in memory: its name, its bytes, and the error if it is refused."""

    name: str
    data: bytes
    error: ImageError | None


class UploadHandler:
    """Receives the images of one request into a job.

    Used from the event loop alone, for one request.

    Args:
        state: The services.
        job: The job; None to create one when the first image arrives.
        source: The source recorded in a new job.
        check_fields: Raises if the form's other fields, as far as they precede the first image,
            forbid to continue.
    """

    def __init__(
        self,
        state: AppState,
        job: Job | None,
        source: str,
        check_fields: Callable[[dict[str, str]], None] = lambda _: None,
    ) -> None:
        self.result = UploadResult(job)
        self._check_fields = check_fields
        self._state = state
        self._source = source
        self._received: list[_ReceivedFile] = []
        self._images = self._bytes = 0

    async def receive(self, request: Request) -> UploadResult:
        """Read a multipart request to its end.

        Raises:
            Problem: The body is malformed, too long or too slow, capacity ran out, the backend
                failed, or the server is stopping. The problem lists what was accepted before; it
                stays accepted if the problem is a transient one.
            ClientDisconnect: The client disconnected. A job created by this request is deleted.
        """
        is_new = self.result.job is None
        try:
            with self._state.memory.reserve(client_of(request.scope)) as reservation:
                await self._read(request, reservation)
        except ClientDisconnect:
            await self._delete_job(is_new=is_new)
            raise
        except (Problem, IraasError) as exc:
            problem = exc if isinstance(exc, Problem) else problem_of(exc)
            raise await self._with_result(problem, is_new=is_new) from exc
        except asyncio.CancelledError as exc:
            if not self._state.closing:
                raise
            raise await self._with_result(stopping(), is_new=is_new) from exc
        return self.result

    async def add(self, parts: list[Part]) -> UploadResult:
        """Add images that are in memory already.

        Raises:
            Problem: Capacity ran out, or the server is stopping.
            StorageFullError: The storage has no capacity for them.
            BackendError: A store or the queue failed.
        """
        for part in parts:
            self._add_file(part)
        await self._flush()
        return self.result

    async def _read(self, request: Request, reservation: MemoryReservation) -> None:
        limits = self._state.limits
        reader = MultipartReader(
            request.headers.get("content-type", ""),
            reservation,
            max_file_bytes=limits.max_image_bytes,
            max_files=limits.max_files,
        )
        with contextlib.closing(reader):
            async for chunk in read_chunks(request, self._state):
                for part in reader.feed(chunk):
                    await self._add_part(part, reservation)
            reader.finish()
        await self._flush(reservation)

    async def _add_part(self, part: Part, reservation: MemoryReservation) -> None:
        if part.filename is None:
            self.result.fields[part.field] = part.data.decode("utf-8", "replace")
            reservation.shrink(len(part.data))
            return
        if not self._add_file(part):
            reservation.shrink(len(part.data))
        if self._should_flush():
            await self._flush(reservation)

    def _add_file(self, part: Part) -> bool:
        """Keep a file for the next flush; return False if it is refused, and its data dropped."""
        error = self._find_error(part)
        self._received.append(
            _ReceivedFile(part.filename or "", b"" if error else part.data, error)
        )
        if error is None:
            self._images += 1
            self._bytes += len(part.data)
        return error is None

    def _should_flush(self) -> bool:
        """Refused files cost no memory: a whole page of them is stored together."""
        return (
            self._images >= FLUSH_IMAGES
            or self._bytes >= FLUSH_BYTES
            or len(self._received) >= PAGE_SIZE
        )

    async def _flush(self, reservation: MemoryReservation | None = None) -> None:
        if not self._received:
            return
        self._check_fields(self.result.fields)
        with await self._admit(self._images) as admitted:
            self._state.storage.take(self._bytes)
            received, size_bytes = self._received, self._bytes
            self._received, self._images, self._bytes = [], 0, 0
            await self._add_to_job(received, admitted)
        if reservation is not None:
            reservation.shrink(size_bytes)

    async def _add_to_job(self, received: list[_ReceivedFile], admitted: AdmittedImages) -> None:
        state, result = self._state, self.result
        if result.job is None:
            result.job = await state.run(state.jobs.open, self._source)
        names = [file.name for file in received]
        entries = await state.run(state.jobs.add, result.job.job_id, names)
        images: list[ImageUpload] = []
        refusals: list[tuple[ManifestEntry, ImageError]] = []
        for entry, file in zip(entries, received, strict=True):
            if file.error is None:
                images.append(ImageUpload(entry.index, entry.name, file.data))
            else:
                refusals.append((entry, file.error))
        await state.run(state.sender(result.job).refuse_all, refusals)
        await self._send(result.job, images, admitted)
        self._record_refused(refusals)

    async def _send(self, job: Job, images: list[ImageUpload], admitted: AdmittedImages) -> None:
        if not images:
            return
        state = self._state
        sender = state.sender(job)
        progress = _SendProgress(len(images), admitted)

        def post_sent(position: int, error: Exception | None) -> None:
            state.callbacks.post(partial(progress.on_sent, position, error))

        state.batch_sender.put(
            [
                PendingSend(sender, image, partial(post_sent, position))
                for position, image in enumerate(images)
            ]
        )
        await progress.done
        if progress.error is not None:
            unsent = [images[position] for position in progress.unsent]
            await self._fail_unsent(job, unsent, progress.error)
            raise progress.error
        self.result.accepted += len(images)
        state.metrics.accepted.inc(len(images))

    async def _fail_unsent(self, job: Job, unsent: list[ImageUpload], error: Exception) -> None:
        """Store failures for unsent images, so that the job does not wait for them.

        Their requester learns that they were not accepted, and sends them again.
        """
        sender = self._state.sender(job)
        failure = ImageError(f"it could not be sent: {error}")
        entries = [ManifestEntry(image.index, image.name) for image in unsent]
        with contextlib.suppress(BackendError):
            for entry in entries:
                await self._state.run(sender.refuse, entry, failure)

    def _record_refused(self, refusals: list[tuple[ManifestEntry, ImageError]]) -> None:
        self.result.refused += [
            {"index": entry.index, "name": entry.name, "reason": str(error)}
            for entry, error in refusals
        ]
        self._state.metrics.refused.inc(len(refusals))

    def _find_error(self, part: Part) -> ImageError | None:
        max_bytes = self._state.limits.max_image_bytes
        if not part.is_whole:
            return ImageTooLargeError(
                f"it has {part.size_bytes:,} bytes, more than the {max_bytes:,} allowed"
            )
        try:
            check_image(part.data, max_bytes)
        except ImageError as exc:
            return exc
        return None

    async def _admit(self, images: int) -> AdmittedImages:
        """Admit images, waiting for capacity: meanwhile the body is not read (backpressure)."""
        backlog, loop = self._state.backlog, asyncio.get_running_loop()
        deadline = loop.time() + self._state.limits.capacity_wait_s
        while backlog.is_full:
            if self._state.closing:
                raise stopping()
            if loop.time() >= deadline:
                raise backlog.full_problem()
            await asyncio.sleep(CAPACITY_POLL_S)
        return backlog.admit(images)

    async def _with_result(self, problem: Problem, *, is_new: bool) -> Problem:
        """Add what was accepted before it to a problem."""
        job = self.result.job
        if job is None:
            return problem
        if problem.status not in TRANSIENT_STATUSES or not self.result.count:
            await self._cancel_job(is_new=is_new)
        problem.extra |= {"job_id": job.job_id, "url": f"/jobs/{job.job_id}"}
        problem.extra |= self.result.to_json()
        return problem

    async def _delete_job(self, *, is_new: bool) -> None:
        """Delete a job whose client does not know its id. If that fails, it is sealed later."""
        job = self.result.job
        if job is not None and is_new:
            with contextlib.suppress(IraasError):
                await self._state.delete_job(job.job_id)

    async def _cancel_job(self, *, is_new: bool) -> None:
        """Cancel a job created by this request. If that fails, it is sealed later."""
        job = self.result.job
        if job is not None and is_new:
            with contextlib.suppress(IraasError):
                await self._state.run(self._state.jobs.cancel, job.job_id)


class _SendProgress:
    """Done once all sends of a flush have succeeded or failed. Lives on the event loop."""

    def __init__(self, count: int, admitted: AdmittedImages) -> None:
        self._remaining = count
        self._admitted = admitted
        self.unsent: list[int] = []
        self.error: Exception | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_sent(self, position: int, error: Exception | None) -> None:
        self._remaining -= 1
        if error is None:
            self._admitted.record_sent(1)
        else:
            self.error = error
            self.unsent.append(position)
        if self._remaining == 0 and not self.done.done():
            self.done.set_result(None)
