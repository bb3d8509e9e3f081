"""Making jobs, finding them again, and reading what became of them."""

import heapq
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from iraas.core.ids import MAX_JOB_SIZE, new_ulid, request_id
from iraas.core.jobs import (
    PAGE_SIZE,
    Job,
    ManifestEntry,
    clean_name,
    decode_job,
    decode_page,
    encode_page,
)
from iraas.core.keys import (
    JOBS,
    MAX_ATTEMPTS,
    attempt_key,
    index_of_outcome,
    job_key,
    manifest_key,
    manifest_prefix,
    outcome_key,
    outcomes_of,
    refusals_range,
)
from iraas.core.outcomes import Outcome, decode_outcome
from iraas.core.ports import Backend
from iraas.errors import (
    ImageError,
    JobNotFoundError,
    MessageError,
    ObjectNotFoundError,
    UsageError,
)
from iraas.services.refusals import index_of, refused_outcomes
from iraas.services.sending import find_input, read_file
from iraas.services.sources import Picture

log = logging.getLogger(__name__)
MAX_COMPARED_BYTES = 10**9


def create_job(
    backend: Backend,
    pictures: Iterable[Picture],
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
    typed = tuple(clean_name(one) for one in sources)
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


def open_job(backend: Backend, job_id: str) -> Job:
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


def manifest(backend: Backend, job: Job) -> Iterator[ManifestEntry]:
    """The images of a job in their order, read page by page."""
    for page in backend.records.list(manifest_prefix(job.job_id)):
        yield from decode_page(backend.records.get(page.key))


def stored_indexes(backend: Backend, job: Job) -> Iterator[int]:
    """The places in a job of the requests that have an outcome, in order."""
    batches, sent = _listing(backend, job)
    yield from heapq.merge(sent, map(index_of, refused_outcomes(backend, batches)))


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


def outcomes(
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
class JobProgress:
    """A job, and how many of its requests have an outcome."""

    job: Job
    done: int


def list_jobs(backend: Backend) -> Iterator[JobProgress]:
    """The jobs of a deployment, the oldest first."""
    for one in backend.records.list(JOBS):
        try:
            job = decode_job(backend.records.get(one.key))
        except ObjectNotFoundError:
            continue
        except MessageError as exc:
            log.warning("%s is passed over: %s", one.key, exc)
            continue
        yield JobProgress(job, sum(1 for _ in stored_indexes(backend, job)))


def forget_failures(backend: Backend, job: Job) -> Iterator[int]:
    """Remove the failure outcomes of a job, so that its images can be sent again; give their
    places, each after it was done.

    The notes on what an image did to its process go too: it starts afresh. So does the stored image
    if the file that it came from is another one by now, or the old bytes would be tried again.
    An image that was refused with others by the web tier is in no store: its failure stays.
    Idempotent; when it is interrupted, what it removed is sent again by resuming the job.
    """
    entries = manifest(backend, job)
    for index in _listing(backend, job)[1]:
        outcome = stored_outcome(backend, job, index)
        if outcome.status != "failed":
            continue
        entry = next((one for one in entries if one.index >= index), None)
        if entry is not None and entry.index == index:
            _forget_changed_input(backend, outcome.request_id, entry.path)
        notes = [attempt_key(outcome.request_id, n) for n in range(1, MAX_ATTEMPTS + 1)]
        backend.records.delete(notes)
        backend.outputs.delete([outcome_key(outcome.request_id)])
        yield index


def _forget_changed_input(backend: Backend, request: str, path: str) -> None:
    key = find_input(backend, request)
    if key is None:
        return
    try:
        is_changed = read_file(path, MAX_COMPARED_BYTES) != backend.inputs.get(key)
    except (ImageError, ObjectNotFoundError):
        return
    if is_changed:
        backend.inputs.delete([key])
