"""Making jobs, finding them again, and reading what became of them."""

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
    pictures: Iterable[ImageFile],
    *,
    sources: tuple[str, ...],
    clock: Callable[[], float],
    counted: Callable[[int], None] = lambda _: None,
) -> Job:
    """Write a job's manifest and then its record: from then on it is fully defined.

    Args:
        backend: The deployment.
        pictures: What to send; read as a stream, a page at a time in memory.
        sources: What the person named, for people.
        clock: Gives seconds since the epoch.
        counted: Told how many pictures there are so far, after each page.

    Raises:
        UsageError: If there are no pictures, or more than one job can have.
        BackendError: A store failed; nothing of this job will be seen.
    """
    typed = tuple(sanitize_name(one) for one in sources)
    job = Job(new_ulid(clock()), clock(), 0, sealed=False, sources=typed)
    remaining = iter(pictures)
    for page in itertools.count():
        found = itertools.islice(remaining, PAGE_SIZE)
        entries = [
            ManifestEntry(job.total + place, one.name, one.path, one.folder)
            for place, one in enumerate(found)
        ]
        if not entries:
            break
        job = replace(job, total=job.total + len(entries))
        if job.total > MAX_JOB_SIZE:
            raise UsageError(f"a job has at most {MAX_JOB_SIZE:,} pictures")
        backend.records.put(manifest_key(job.job_id, page), encode_page(entries))
        counted(job.total)
    if job.total == 0:
        raise UsageError(
            "no picture was found",
            remedy="Folders are searched for .jpg, .png, .webp, .gif, .bmp and .tif files.",
        )
    job = replace(job, sealed=True)
    backend.records.put(job_key(job.job_id), job.encode())
    return job


def get_job(backend: Backend, job_id: str) -> Job:
    """Find a job.

    Raises:
        JobNotFoundError: If this deployment has none of that id.
    """
    try:
        return decode_job(backend.records.get(job_key(job_id)))
    except ObjectNotFoundError as exc:
        raise JobNotFoundError(
            f"there is no job {job_id} in this deployment", remedy="List the jobs with: iraas jobs"
        ) from exc


def iter_manifest(backend: Backend, job: Job) -> Iterator[ManifestEntry]:
    """The images of a job in their order, read page by page."""
    for page in backend.records.list(manifest_prefix(job.job_id)):
        yield from decode_page(backend.records.get(page.key))


def stored_indexes(backend: Backend, job: Job) -> Iterator[int]:
    """The places in a job of the requests that have an outcome, in order."""
    batches, sent = _listing(backend, job)
    yield from heapq.merge(sent, map(index_of, refused_outcomes(backend, batches)))


def sent_indexes(backend: Backend, job: Job) -> Iterator[int]:
    """The places in a job of the requests that have an outcome of their own, in order."""
    return _listing(backend, job)[1]


def _listing(backend: Backend, job: Job) -> tuple[list[str], Iterator[int]]:
    """What the output store holds of a job, from one listing: the keys of the images that were
    refused together, and the places of the requests that have an outcome of their own.
    """
    found = backend.outputs.list(outcomes_of(job.job_id))
    keys: Iterator[str] = (one.key for one in found)
    batches: list[str] = []
    for key in keys:
        if refusals_range(key) is None:
            keys = itertools.chain([key], keys)
            break
        batches.append(key)
    return batches, (index for index in map(index_of_outcome, keys) if index is not None)


def stored_outcome(backend: Backend, job: Job, index: int) -> Outcome:
    """The stored outcome of a request that has an object of its own.

    Raises:
        ObjectNotFoundError: If it has none.
        MessageError: If it is mangled.
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
    """The stored outcomes of a job in their order; those missing are left out.

    Args:
        backend: The deployment.
        job: The job.
        is_known: Tells which places to leave out; their outcomes are not read.

    Raises:
        MessageError: An outcome is corrupt.
        BackendError: The output store failed.
    """
    batches, places = _listing(backend, job)
    sent = (stored_outcome(backend, job, index) for index in places if not is_known(index))
    refused = refused_outcomes(backend, batches, is_known)
    yield from heapq.merge(sent, refused, key=index_of)


@dataclass(frozen=True, slots=True)
class JobListing:
    """A job, and how many of its requests have an outcome."""

    job: Job
    done: int


def list_jobs(backend: Backend) -> Iterator[JobListing]:
    """The jobs of a deployment, the oldest first."""
    for one in backend.records.list(JOBS):
        try:
            job = decode_job(backend.records.get(one.key))
        except ObjectNotFoundError:
            continue
        except MessageError as exc:
            log.warning("%s is passed over: %s", one.key, exc)
            continue
        yield JobListing(job, sum(1 for _ in stored_indexes(backend, job)))


def find_input(backend: Backend, request: str) -> str | None:
    """The key of a request's image in the input store, if it is there."""
    found = find_stored_input(backend, request)
    return found.key if found else None


def find_stored_input(backend: Backend, request: str) -> StoredObject | None:
    """What the input store tells of a request's image, if it is there."""
    stem = input_key(request, "x")[:-1]
    folder = stem.rpartition("/")[0] + "/"
    found = next(iter(backend.inputs.list(folder, after=stem)), None)
    return found if found and found.key.startswith(stem) else None
