"""Images sent one by one, each with somebody who waits for its outcome.

They belong to a job that this process rolls along, so that `iraas jobs` and `iraas results` know
them too. Its manifest is written a moment later: unlike the images of an upload these can be told
from the queue and the output store alone, and nobody resumes them.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from iraas.client.batch_sender import BatchSender, PendingSend
from iraas.client.sender import ImageUpload, Sender
from iraas.core.ids import new_ulid, request_id
from iraas.core.jobs import SHARED_SOURCE, Job, ManifestEntry, encode_page
from iraas.core.keys import job_key, manifest_key
from iraas.core.ports import Backend

MAX_PAGE = 1000


@dataclass(slots=True)
class _Roll:
    """The job in use: `entries` are those not yet in its manifest."""

    job: Job
    sender: Sender
    reply_to: str
    page: int = 0
    next_index: int = 0
    is_noted: bool = False
    entries: list[ManifestEntry] = field(default_factory=list)


class SingleRequestClient:
    """Sends single images. Thread-safe.

    Args:
        backend: The deployment.
        batcher: Sends them.
        requester_id: Tells whom to reply to.
        clock: Gives seconds since the epoch.
        roll_images: After how many images another job begins.
        roll_s: After how many seconds another job begins.
    """

    def __init__(
        self,
        backend: Backend,
        batcher: BatchSender,
        *,
        requester_id: Callable[[], str],
        clock: Callable[[], float],
        roll_images: int = 10_000,
        roll_s: float = 3600.0,
    ) -> None:
        self._backend = backend
        self._batcher = batcher
        self._requester_id = requester_id
        self._clock = clock
        self._roll_images = roll_images
        self._roll_s = roll_s
        self._roll: _Roll | None = None
        self._over: list[_Roll] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()

    def send(
        self,
        name: str,
        data: bytes,
        *,
        register: Callable[[str], None],
        sent: Callable[[Exception | None], None],
    ) -> str:
        """Send an image that was checked; returns its request's id at once.

        Args:
            name: What people call it.
            data: Its bytes.
            register: Told the request's id before it is sent.
            sent: See `iraas.client.batch_sender.PendingSend`.
        """
        with self._lock:
            roll = self._current()
            index = roll.next_index
            roll.next_index += 1
            roll.entries.append(ManifestEntry(index, name))
        identity = request_id(roll.job.job_id, index)
        register(identity)
        image = ImageUpload(index, name, data)
        self._batcher.put([PendingSend(roll.sender, image, sent, self._note_job)])
        return identity

    def write_down(self) -> None:
        """Bring the manifest up to date. Call it every second or so.

        Raises:
            BackendError: A store failed; the next call writes what is missing.
        """
        with self._writing:
            with self._lock:
                rolls = [*self._over, *([self._roll] if self._roll else [])]
            for roll in rolls:
                self._write(roll, is_over=roll in self._over)

    def close(self) -> None:
        """Send no more, and seal the job.

        Raises:
            BackendError: A store failed.
        """
        with self._lock:
            if self._roll:
                self._over.append(self._roll)
                self._roll = None
        self.write_down()

    def _current(self) -> _Roll:
        roll, now = self._roll, self._clock()
        if roll is not None and (
            roll.next_index >= self._roll_images or now - roll.job.created_at > self._roll_s
        ):
            self._over.append(roll)
            roll = None
        reply_to = self._requester_id()
        if roll is None:
            job = Job(new_ulid(now), now, 0, sealed=False, sources=(SHARED_SOURCE,))
            sender = Sender(self._backend, job, reply_to=reply_to, clock=self._clock)
            roll = self._roll = _Roll(job, sender, reply_to)
        elif roll.reply_to != reply_to:
            roll.reply_to = reply_to
            roll.sender = Sender(self._backend, roll.job, reply_to=reply_to, clock=self._clock)
        return roll

    def _note_job(self) -> None:
        """See to it that the jobs in use are on record before their first image is sent."""
        with self._lock:
            rolls = [one for one in (*self._over, self._roll) if one and not one.is_noted]
        for roll in rolls:
            self._backend.records.put(job_key(roll.job.job_id), roll.job.encode())
            roll.is_noted = True

    def _write(self, roll: _Roll, *, is_over: bool) -> None:
        with self._lock:
            entries = roll.entries[:MAX_PAGE]
        if entries:
            key = manifest_key(roll.job.job_id, roll.page)
            self._backend.records.put(key, encode_page(entries))
            roll.page += 1
            roll.job = replace(roll.job, total=entries[-1].index + 1)
            with self._lock:
                del roll.entries[: len(entries)]
        done = is_over and not roll.entries
        if entries or done:
            roll.job = replace(roll.job, sealed=done)
            self._backend.records.put(job_key(roll.job.job_id), roll.job.encode())
            roll.is_noted = True
        if done:
            with self._lock:
                self._over.remove(roll)
