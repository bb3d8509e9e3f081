"""Uploads: jobs that grow while their images arrive, by any number of processes at once.

The manifest's pages are claimed in sequence, each with *put if absent*: the writer of page n has
read page n-1, so that no two images of a job get the same index. A job's record is a summary that
may lag while the job is open; once the job is sealed it is exact.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from iraas.core.ids import MAX_JOB_SIZE, job_time, new_ulid
from iraas.core.jobs import PAGE_SIZE, Job, ManifestEntry, decode_page, encode_page
from iraas.core.keys import JOBS, job_key, manifest_key, manifest_prefix
from iraas.core.ports import Backend
from iraas.errors import JobNotFoundError, MessageError, ObjectNotFoundError, UsageError
from iraas.jobs.store import get_job

log = logging.getLogger(__name__)
SOURCE = "upload"
MAX_PAGES = 10**6
MAX_KNOWN_JOBS = 1000


class JobRepository:
    """Creates open jobs, adds images to them, and seals them. Thread-safe.

    Args:
        backend: The deployment.
        clock: Returns seconds since the epoch.
    """

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._clock = clock
        self._ends: dict[str, tuple[int, int]] = {}

    def open(self, source: str = SOURCE) -> Job:
        """Create an open job without images.

        Args:
            source: The job's entry in `Job.sources`.

        Raises:
            BackendError: The records store failed.
        """
        now = self._clock()
        job = Job(new_ulid(now), now, 0, sealed=False, sources=(source,))
        self._put(job)
        self._cache_end(job.job_id, (0, 0))
        return job

    def add(self, job_id: str, names: Sequence[str]) -> list[ManifestEntry]:
        """Add images to a job's manifest, before they are sent. Not idempotent.

        Args:
            job_id: The job.
            names: Their display names, 1..`PAGE_SIZE` of them.

        Returns:
            Their manifest entries, with their indexes, in the same order.

        Raises:
            ValueError: There are too few or too many names.
            JobNotFoundError: There is no such job.
            UsageError: The job is sealed, cancelled or full.
            MessageError: The job's record or manifest is corrupt.
            BackendError: The records store failed.
        """
        if not 1 <= len(names) <= PAGE_SIZE:
            raise ValueError(f"{len(names)} names are not 1..{PAGE_SIZE}")
        self._check_open(get_job(self._backend, job_id))
        page, first = self._ends.get(job_id) or manifest_end(self._backend, job_id)
        while True:
            entries = [ManifestEntry(index, name) for index, name in enumerate(names, first)]
            if first + len(names) > MAX_JOB_SIZE or page >= MAX_PAGES:
                raise UsageError("the job is full", remedy="Start another one.")
            key = manifest_key(job_id, page)
            if self._backend.records.put_if_absent([(key, encode_page(entries))]) == [True]:
                break
            page, first = manifest_end(self._backend, job_id)
        self._cache_end(job_id, (page + 1, first + len(names)))
        self._raise_total(job_id, first + len(names))
        return entries

    def seal(self, job_id: str) -> Job:
        """Mark a job as complete: it accepts no more images. Idempotent.

        Raises:
            JobNotFoundError: There is no such job.
            MessageError: The job's record or manifest is corrupt.
            BackendError: The records store failed.
        """
        job = get_job(self._backend, job_id)
        _, total = manifest_end(self._backend, job_id)
        if not job.sealed or job.total != total:
            job = replace(get_job(self._backend, job_id), sealed=True, total=total)
            self._put(job)
        self._ends.pop(job_id, None)
        return job

    def cancel(self, job_id: str) -> Job:
        """Cancel the rest of a job: it accepts no more images. Queued images are still classified.
        Idempotent.

        Raises:
            JobNotFoundError: There is no such job.
            MessageError: The job's record or manifest is corrupt.
            BackendError: The records store failed.
        """
        job = self.seal(job_id)
        if not job.cancelled:
            job = replace(job, cancelled=True)
            self._put(job)
        return job

    def seal_abandoned(self, *, idle_s: float, look_back_s: float) -> int:
        """Seal the jobs whose uploader disappeared. Idempotent.

        Args:
            idle_s: Seconds without a new image from which a job counts as abandoned.
            look_back_s: The maximum age of the jobs that are checked, in seconds.

        Returns:
            The number of jobs that were sealed.

        Raises:
            BackendError: The records store failed.
        """
        now = self._clock()
        oldest = new_ulid(max(0.0, now - look_back_s), lambda _: 0)
        count = 0
        for entry in self._backend.records.list(JOBS, after=job_key(oldest)):
            job_id = entry.key[len(JOBS) : -len(".json")]
            if now - max(entry.modified_at, job_time(job_id)) < idle_s:
                continue
            try:
                job = get_job(self._backend, job_id)
                if not job.sealed:
                    self.seal(job_id)
                    count += 1
            except (JobNotFoundError, MessageError) as exc:
                log.warning("could not seal %s: %s", entry.key, exc)
        return count

    def _check_open(self, job: Job) -> None:
        if job.cancelled:
            raise UsageError("the job was cancelled: it takes no more images")
        if job.sealed:
            raise UsageError("the job is sealed: it takes no more images")

    def _raise_total(self, job_id: str, total: int) -> None:
        """Raise the record's total, also if the job was sealed meanwhile."""
        job = get_job(self._backend, job_id)
        if job.total < total:
            self._put(replace(job, total=total))

    def _put(self, job: Job) -> None:
        self._backend.records.put(job_key(job.job_id), job.encode())

    def _cache_end(self, job_id: str, end: tuple[int, int]) -> None:
        if len(self._ends) >= MAX_KNOWN_JOBS:
            self._ends.clear()  # only hints: without one, `add` reads the manifest
        self._ends[job_id] = end


def manifest_end(backend: Backend, job_id: str) -> tuple[int, int]:
    """Return the next page number of a job's manifest, and the next image's index.

    Args:
        backend: The deployment.
        job_id: The job.

    Raises:
        MessageError: The manifest is corrupt.
        BackendError: The records store failed.
    """
    pages, last_key = 0, ""
    for entry in backend.records.list(manifest_prefix(job_id)):
        pages, last_key = pages + 1, entry.key
    if not last_key:
        return 0, 0
    try:
        entries = list(decode_page(backend.records.get(last_key)))
    except ObjectNotFoundError:
        return 0, 0
    return pages, entries[-1].index + 1 if entries else 0
