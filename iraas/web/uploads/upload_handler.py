"""Taking the pictures of a request into a job: some at a time, never all in memory."""

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
from iraas.web.limits.admission import Admitted, MemoryReservation
from iraas.web.limits.clients import client_of
from iraas.web.problems import Problem, problem_of
from iraas.web.state import AppState

FLUSH_IMAGES = 32
FLUSH_BYTES = 4_000_000
MAX_REFUSALS_TOLD = 1000
ROOM_LOOK_S = 0.25
KEEPING = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.INSUFFICIENT_STORAGE,
    }
)
"""Problems that pass: what was accepted before them is to be kept, and the rest sent later."""


@dataclass(slots=True)
class Intake:
    """What came of a request's pictures.

    Attributes:
        job: The job they belong to; None until the first one came, for a new job.
        accepted: Pictures that are on the queue.
        refused: Those that are no pictures: place, name and reason. Each has a failure outcome.
        fields: The form's other fields.
    """

    job: Job | None
    accepted: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Pictures that are in the job now."""
        return self.accepted + len(self.refused)

    def to_json(self) -> dict[str, Any]:
        """For the requester."""
        return {"accepted": self.accepted, "refused": self.refused[:MAX_REFUSALS_TOLD]}


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A file that is in memory: its name, its bytes, and why it is refused, if it is."""

    name: str
    data: bytes
    error: ImageError | None


class UploadHandler:
    """Takes one request's pictures into a job.

    Args:
        context: The services.
        job: The job; None to make one when the first picture comes.
        source: What a new job says of its source.
        check_fields: Raises if the form's other fields, as far as they came before the first
            picture, do not allow to go on.
    """

    def __init__(
        self,
        context: AppState,
        job: Job | None,
        source: str,
        check_fields: Callable[[dict[str, str]], None] = lambda _: None,
    ) -> None:
        self.result = Intake(job)
        self._check_fields = check_fields
        self._context = context
        self._source = source
        self._arrived: list[_Arrived] = []
        self._images = self._bytes = 0

    async def take_all(self, request: Request) -> Intake:
        """Read a multipart request to its end.

        Raises:
            Problem: The body is mangled, too long, too slow, there is no room for all of it, the
                backend failed, or the server is about to stop; what was accepted before that is
                told with it, and stays accepted if the problem is one that passes.
            ClientDisconnect: The client left; so does the job, unless it was there before.
        """
        is_new = self.result.job is None
        try:
            with self._context.admission.buffers.lease(client_of(request.scope)) as lease:
                await self._read(request, lease)
        except ClientDisconnect:
            await self._drop(is_new=is_new)
            raise
        except (Problem, IraasError) as exc:
            problem = exc if isinstance(exc, Problem) else problem_of(exc)
            raise await self._told(problem, is_new=is_new) from exc
        except asyncio.CancelledError as exc:
            if not self._context.closing:
                raise
            raise await self._told(stopping(), is_new=is_new) from exc
        return self.result

    async def take(self, parts: list[Part]) -> Intake:
        """Take pictures that are in memory."""
        for part in parts:
            self._arrive(part)
        await self._flush()
        return self.result

    async def _read(self, request: Request, lease: MemoryReservation) -> None:
        limits = self._context.limits
        reader = MultipartReader(
            request.headers.get("content-type", ""),
            lease,
            max_file_bytes=limits.max_image_bytes,
            max_files=limits.max_files,
        )
        with contextlib.closing(reader):
            async for chunk in read_chunks(request, self._context):
                for part in reader.feed(chunk):
                    await self._take_part(part, lease)
            reader.finish()
        await self._flush(lease)

    async def _take_part(self, part: Part, lease: MemoryReservation) -> None:
        if part.filename is None:
            self.result.fields[part.field] = part.data.decode("utf-8", "replace")
            lease.shrink(len(part.data))
            return
        if not self._arrive(part):
            lease.shrink(len(part.data))
        if self._is_full():
            await self._flush(lease)

    def _arrive(self, part: Part) -> bool:
        """Keep a file for the next flush; only its name if it is refused, which False tells."""
        error = self._fault_of(part)
        self._arrived.append(_Arrived(part.filename or "", b"" if error else part.data, error))
        if error is None:
            self._images += 1
            self._bytes += len(part.data)
        return error is None

    def _is_full(self) -> bool:
        """Whether to flush. Refused files cost no memory: a page of them is stored together."""
        return (
            self._images >= FLUSH_IMAGES
            or self._bytes >= FLUSH_BYTES
            or len(self._arrived) >= PAGE_SIZE
        )

    async def _flush(self, lease: MemoryReservation | None = None) -> None:
        if not self._arrived:
            return
        self._check_fields(self.result.fields)
        with await self._let_in(self._images) as admitted:
            self._context.storage.take(self._bytes)
            arrived, size_bytes = self._arrived, self._bytes
            self._arrived, self._images, self._bytes = [], 0, 0
            await self._take_in(arrived, admitted)
        if lease is not None:
            lease.shrink(size_bytes)

    async def _take_in(self, arrived: list[_Arrived], admitted: Admitted) -> None:
        context, result = self._context, self.result
        if result.job is None:
            result.job = await context.run(context.uploads.open, self._source)
        names = [one.name for one in arrived]
        entries = await context.run(context.uploads.add, result.job.job_id, names)
        images: list[ImageUpload] = []
        refusals: list[tuple[ManifestEntry, ImageError]] = []
        for entry, one in zip(entries, arrived, strict=True):
            if one.error is None:
                images.append(ImageUpload(entry.index, entry.name, one.data))
            else:
                refusals.append((entry, one.error))
        await context.run(context.sender(result.job).refuse_all, refusals)
        await self._send(result.job, images, admitted)
        self._note_refused(refusals)

    async def _send(self, job: Job, images: list[ImageUpload], admitted: Admitted) -> None:
        if not images:
            return
        context = self._context
        sender = context.sender(job)
        countdown = _Countdown(len(images), admitted)
        parcels = [
            PendingSend(sender, image, partial(_tell, context, countdown, place))
            for place, image in enumerate(images)
        ]
        context.batcher.put(parcels)
        await countdown.done
        if countdown.error is not None:
            unsent = [images[place] for place in countdown.unsent]
            await self._give_up(job, unsent, countdown.error)
            raise countdown.error
        self.result.accepted += len(images)
        context.metrics.accepted.inc(len(images))

    async def _give_up(self, job: Job, unsent: list[ImageUpload], error: Exception) -> None:
        """Let a job not wait for ever for pictures whose requester is told that they were not
        accepted, and who will send them again.
        """
        sender = self._context.sender(job)
        failure = ImageError(f"it could not be sent: {error}")
        entries = [ManifestEntry(one.index, one.name) for one in unsent]
        with contextlib.suppress(BackendError):
            for entry in entries:
                await self._context.run(sender.refuse, entry, failure)

    def _note_refused(self, refusals: list[tuple[ManifestEntry, ImageError]]) -> None:
        for entry, error in refusals:
            told = {"index": entry.index, "name": entry.name, "reason": str(error)}
            self.result.refused.append(told)
        self._context.metrics.refused.inc(len(refusals))

    def _fault_of(self, part: Part) -> ImageError | None:
        most = self._context.limits.max_image_bytes
        if not part.is_whole:
            return ImageTooLargeError(
                f"it has {part.size_bytes:,} bytes, more than the {most:,} allowed"
            )
        try:
            check_image(part.data, most)
        except ImageError as exc:
            return exc
        return None

    async def _let_in(self, images: int) -> Admitted:
        """While too many images are pending, read no further: the client feels it."""
        admission, loop = self._context.admission, asyncio.get_running_loop()
        until = loop.time() + self._context.limits.room_s
        while admission.is_full:
            if self._context.closing:
                raise stopping()
            if loop.time() >= until:
                raise admission.full()
            await asyncio.sleep(ROOM_LOOK_S)
        return admission.take(images)

    async def _told(self, problem: Problem, *, is_new: bool) -> Problem:
        """The problem with what was accepted before it."""
        job = self.result.job
        if job is None:
            return problem
        if problem.status not in KEEPING or not self.result.count:
            await self._cancel(is_new=is_new)
        problem.extra |= {"job_id": job.job_id, "url": f"/jobs/{job.job_id}"}
        problem.extra |= self.result.to_json()
        return problem

    async def _drop(self, *, is_new: bool) -> None:
        """Delete a job whose id nobody knows; whatever keeps one from it, it gets sealed later."""
        job = self.result.job
        if job is not None and is_new:
            with contextlib.suppress(IraasError):
                await self._context.delete_job(job.job_id)

    async def _cancel(self, *, is_new: bool) -> None:
        """Cancel a job that nobody was told of yet; whatever keeps one from it, it gets sealed
        later as one that was abandoned.
        """
        job = self.result.job
        if job is not None and is_new:
            with contextlib.suppress(IraasError):
                await self._context.run(self._context.uploads.cancel, job.job_id)


class _Countdown:
    """Done when it is known of so many parcels whether they were sent. Lives on the event loop."""

    def __init__(self, count: int, admitted: Admitted) -> None:
        self._left = count
        self._admitted = admitted
        self.unsent: list[int] = []
        self.error: Exception | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def one_sent(self, place: int, error: Exception | None) -> None:
        self._left -= 1
        if error is None:
            self._admitted.sent(1)
        else:
            self.error = error
            self.unsent.append(place)
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)


def _tell(context: AppState, countdown: _Countdown, place: int, error: Exception | None) -> None:
    context.inbox.post(partial(countdown.one_sent, place, error))
