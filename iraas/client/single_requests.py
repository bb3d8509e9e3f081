"""Single images, each with a caller that waits for its outcome.

They belong to a job that this process shares among them and replaces regularly, so that `iraas
jobs` and `iraas results` list them too. Its manifest is written with a delay: unlike the images of
an upload these are never resumed, and the queue and the output store suffice to find them.
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
class _SharedJob:
    """A job shared by single requests: `entries` are those not yet in its manifest."""

    job: Job
    sender: Sender
    reply_to: str
    page: int = 0
    next_index: int = 0
    is_recorded: bool = False
    entries: list[ManifestEntry] = field(default_factory=list)


class SingleRequestClient:
    """Sends single images. Thread-safe.

    Args:
        backend: The deployment.
        batcher: Sends them.
        requester_id: Returns the requester to reply to.
        clock: Returns seconds since the epoch.
        max_job_images: The number of images after which a new job starts.
        max_job_age_s: The number of seconds after which a new job starts.
    """

    def __init__(
        self,
        backend: Backend,
        batcher: BatchSender,
        *,
        requester_id: Callable[[], str],
        clock: Callable[[], float],
        max_job_images: int = 10_000,
        max_job_age_s: float = 3600.0,
    ) -> None:
        self._backend = backend
        self._batcher = batcher
        self._requester_id = requester_id
        self._clock = clock
        self._max_job_images = max_job_images
        self._max_job_age_s = max_job_age_s
        self._current: _SharedJob | None = None
        self._full: list[_SharedJob] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()

    def send(
        self,
        name: str,
        data: bytes,
        *,
        register: Callable[[str], None],
        on_sent: Callable[[Exception | None], None],
    ) -> str:
        """Send a validated image; returns at once.

        Args:
            name: Its display name.
            data: Its bytes.
            register: Called with the request's id before it is sent.
            on_sent: See `iraas.client.batch_sender.PendingSend`.

        Returns:
            The request's id.
        """
        with self._lock:
            shared = self._shared_job()
            index = shared.next_index
            shared.next_index += 1
            shared.entries.append(ManifestEntry(index, name))
        identity = request_id(shared.job.job_id, index)
        register(identity)
        image = ImageUpload(index, name, data)
        self._batcher.put([PendingSend(shared.sender, image, on_sent, self._record_jobs)])
        return identity

    def flush(self) -> None:
        """Write the manifests up to date. Call it about every second.

        Raises:
            BackendError: A store failed; the next call writes what is missing.
        """
        with self._writing:
            with self._lock:
                jobs = [*self._full, *([self._current] if self._current else [])]
            for shared in jobs:
                self._write(shared, is_full=shared in self._full)

    def close(self) -> None:
        """Flush the manifest and seal the job. Do not send afterwards.

        Raises:
            BackendError: A store failed.
        """
        with self._lock:
            if self._current:
                self._full.append(self._current)
                self._current = None
        self.flush()

    def _shared_job(self) -> _SharedJob:
        shared, now = self._current, self._clock()
        if shared is not None and (
            shared.next_index >= self._max_job_images
            or now - shared.job.created_at > self._max_job_age_s
        ):
            self._full.append(shared)
            shared = None
        reply_to = self._requester_id()
        if shared is None:
            job = Job(new_ulid(now), now, 0, sealed=False, sources=(SHARED_SOURCE,))
            sender = Sender(self._backend, job, reply_to=reply_to, clock=self._clock)
            shared = self._current = _SharedJob(job, sender, reply_to)
        elif shared.reply_to != reply_to:
            shared.reply_to = reply_to
            shared.sender = Sender(self._backend, shared.job, reply_to=reply_to, clock=self._clock)
        return shared

    def _record_jobs(self) -> None:
        """Write the records of the jobs in use before their first image is sent."""
        with self._lock:
            jobs = [job for job in (*self._full, self._current) if job and not job.is_recorded]
        for shared in jobs:
            self._backend.records.put(job_key(shared.job.job_id), shared.job.encode())
            shared.is_recorded = True

    def _write(self, shared: _SharedJob, *, is_full: bool) -> None:
        with self._lock:
            entries = shared.entries[:MAX_PAGE]
        if entries:
            key = manifest_key(shared.job.job_id, shared.page)
            self._backend.records.put(key, encode_page(entries))
            shared.page += 1
            shared.job = replace(shared.job, total=entries[-1].index + 1)
            with self._lock:
                del shared.entries[: len(entries)]
        done = is_full and not shared.entries
        if entries or done:
            shared.job = replace(shared.job, sealed=done)
            self._backend.records.put(job_key(shared.job.job_id), shared.job.encode())
            shared.is_recorded = True
        if done:
            with self._lock:
                self._full.remove(shared)
