"""Creating jobs, finding them, and reading their manifests and outcomes."""

import heapq
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from iraas.core.ids import MAX_JOB_SIZE, new_ulid, request_id
from iraas.core.jobs import (
    PAGE_SIZE,
    ImageFile,
    Job,
    ManifestEntry,
    decode_job,
    decode_page,
    encode_page,
    sanitize_name,
)
from iraas.core.keys import (
    JOBS,
    index_of_outcome,
    input_key,
    job_key,
    manifest_key,
    manifest_prefix,
    outcome_key,
    outcomes_of,
    refusals_range,
)
from iraas.core.outcomes import Outcome, decode_outcome
from iraas.core.ports import Backend, StoredObject
from iraas.errors import (
    JobNotFoundError,
    MessageError,
    ObjectNotFoundError,
    UsageError,
)
from iraas.jobs.refusals import index_of, refused_outcomes

log = logging.getLogger(__name__)


def create_job(
    backend: Backend,
    images: Iterable[ImageFile],
    *,
    sources: tuple[str, ...],
    clock: Callable[[], float],
    on_page: Callable[[int], None] = lambda _: None,
) -> Job:
    """Write a job's manifest and then its record: from then on it is fully defined.

    Args:
        backend: The deployment.
        images: The images to send; streamed, with one page at a time in memory.
        sources: The sources that the user named, for display.
        clock: Returns seconds since the epoch.
        on_page: Called with the number of images so far after each page.

    Raises:
        UsageError: There are no images, or more than a job can have.
        BackendError: A store failed; the job is not visible.
    """
    typed = tuple(map(sanitize_name, sources))
    job = Job(new_ulid(clock()), clock(), 0, sealed=False, sources=typed)
    remaining = iter(images)
    for page in itertools.count():
        found = itertools.islice(remaining, PAGE_SIZE)
        entries = [
            ManifestEntry(index, image.name, image.path, image.folder)
            for index, image in enumerate(found, job.total)
        ]
        if not entries:
            break
        job = replace(job, total=job.total + len(entries))
        if job.total > MAX_JOB_SIZE:
            raise UsageError(f"a job has at most {MAX_JOB_SIZE:,} images")
        backend.records.put(manifest_key(job.job_id, page), encode_page(entries))
        on_page(job.total)
    if job.total == 0:
        raise UsageError(
            "no image was found",
            remedy="Folders are searched for .jpg, .png, .webp, .gif, .bmp and .tif files.",
        )
    job = replace(job, sealed=True)
    backend.records.put(job_key(job.job_id), job.encode())
    return job


def get_job(backend: Backend, job_id: str) -> Job:
    """Read a job's record.

    Args:
        backend: The deployment.
        job_id: The job.

    Raises:
        JobNotFoundError: The deployment has no job of that id.
        MessageError: The record is corrupt.
        BackendError: The records store failed.
    """
    try:
        return decode_job(backend.records.get(job_key(job_id)))
    except ObjectNotFoundError as exc:
        raise JobNotFoundError(
            f"there is no job {job_id} in this deployment", remedy="List the jobs with: iraas jobs"
        ) from exc


def iter_manifest(backend: Backend, job: Job) -> Iterator[ManifestEntry]:
    """Iterate over a job's manifest in order; one page in memory.

    Args:
        backend: The deployment.
        job: The job.

    Raises:
        MessageError: A page of the manifest is corrupt.
        BackendError: The records store failed.
    """
    for page in backend.records.list(manifest_prefix(job.job_id)):
        yield from decode_page(backend.records.get(page.key))


def stored_indexes(backend: Backend, job: Job) -> Iterator[int]:
    """Iterate over the indexes of requests with an outcome, refused images included, in order.

    Args:
        backend: The deployment.
        job: The job.

    Raises:
        MessageError: A batch of refused images is corrupt.
        BackendError: The output store failed.
    """
    batches, sent = _listing(backend, job)
    yield from heapq.merge(sent, map(index_of, refused_outcomes(backend, batches)))


def sent_indexes(backend: Backend, job: Job) -> Iterator[int]:
    """Iterate over the indexes of requests with an outcome object of their own, in order.

    Args:
        backend: The deployment.
        job: The job.

    Raises:
        BackendError: The output store failed.
    """
    return _listing(backend, job)[1]


def _listing(backend: Backend, job: Job) -> tuple[list[str], Iterator[int]]:
    """List a job's outcomes once: the keys of the batches of refused images, and the indexes of
    the requests that have an outcome object of their own.
    """
    found = backend.outputs.list(outcomes_of(job.job_id))
    keys: Iterator[str] = (entry.key for entry in found)
    batches: list[str] = []
    for key in keys:
        if refusals_range(key) is None:
            keys = itertools.chain([key], keys)
            break
        batches.append(key)
    return batches, (index for index in map(index_of_outcome, keys) if index is not None)


def stored_outcome(backend: Backend, job: Job, index: int) -> Outcome:
    """Read the outcome of a request that has an outcome object of its own.

    Args:
        backend: The deployment.
        job: The job.
        index: The request's index in the job.

    Raises:
        ObjectNotFoundError: There is no such object.
        MessageError: The outcome is corrupt.
        BackendError: The output store failed.
    """
    key = outcome_key(request_id(job.job_id, index))
    try:
        return decode_outcome(backend.outputs.get(key))
    except MessageError as exc:
        raise MessageError(
            f"{exc}, under {key} of the output store",
            remedy=f"Remove it and resume the job: iraas submit --resume {job.job_id}",
        ) from exc


def iter_outcomes(
    backend: Backend, job: Job, is_known: Callable[[int], bool] = lambda _: False
) -> Iterator[Outcome]:
    """Iterate over the stored outcomes of a job, sorted by index.

    Args:
        backend: The deployment.
        job: The job.
        is_known: Returns whether to skip an index; its outcome is not read.

    Raises:
        MessageError: An outcome is corrupt.
        BackendError: The output store failed.
    """
    batches, indexes = _listing(backend, job)
    sent = (stored_outcome(backend, job, index) for index in indexes if not is_known(index))
    refused = refused_outcomes(backend, batches, is_known)
    yield from heapq.merge(sent, refused, key=index_of)


@dataclass(frozen=True, slots=True)
class JobListing:
    """A job and the number of its requests that have an outcome."""

    job: Job
    done: int


def list_jobs(backend: Backend) -> Iterator[JobListing]:
    """Iterate over the jobs of a deployment, oldest first. Corrupt records are skipped.

    Raises:
        MessageError: A batch of refused images is corrupt.
        BackendError: A store failed.
    """
    for entry in backend.records.list(JOBS):
        try:
            job = decode_job(backend.records.get(entry.key))
        except ObjectNotFoundError:
            continue
        except MessageError as exc:
            log.warning("skipped job record %s: %s", entry.key, exc)
            continue
        yield JobListing(job, sum(1 for _ in stored_indexes(backend, job)))


def find_input(backend: Backend, request_id: str) -> str | None:
    """Return the input-store key of a request's image; None if it is not there.

    Args:
        backend: The deployment.
        request_id: The request.

    Raises:
        BackendError: The input store failed.
    """
    found = find_stored_input(backend, request_id)
    return found.key if found else None


def find_stored_input(backend: Backend, request_id: str) -> StoredObject | None:
    """Return the input-store entry of a request's image; None if it is not there.

    Args:
        backend: The deployment.
        request_id: The request.

    Raises:
        BackendError: The input store failed.
    """
    stem = input_key(request_id, "x")[:-1]
    folder = stem.rpartition("/")[0] + "/"
    found = next(iter(backend.inputs.list(folder, after=stem)), None)
    return found if found and found.key.startswith(stem) else None
