"""Trying the failed images of a job again, from the images that are in the input store."""

from collections.abc import Iterator

from iraas.client.sender import Sender, read_file
from iraas.core.ids import request_id
from iraas.core.jobs import Job, ManifestEntry
from iraas.core.keys import MAX_ATTEMPTS, attempt_key, outcome_key
from iraas.core.ports import Backend
from iraas.errors import ImageError, ObjectNotFoundError, UsageError
from iraas.jobs.store import find_input, iter_manifest, sent_indexes, stored_outcome
from iraas.monitoring.job_progress import JobProgress

MAX_COMPARED_BYTES = 10**9
MAX_RETRIED = 10_000


def retry_failures(
    backend: Backend, view: JobProgress, sender: Sender, *, index: int | None = None
) -> list[int]:
    """Send failed images again; gives back their places.

    An image that was refused before it was sent is in no store: its failure stays. When this is
    interrupted, calling it again sends what it had removed and not sent, once the queue is empty.

    Args:
        backend: The deployment.
        view: The job, refreshed.
        sender: Sends images of that job.
        index: One image only; None for all that failed.

    Raises:
        UsageError: The job was cancelled: nobody wants more of it.
        BackendError: A store or the queue failed; call it again.
    """
    if view.summary().job.cancelled:
        raise UsageError(
            "the job was cancelled: nothing of it is tried again",
            remedy="Send the pictures once more, as a new job.",
        )
    failed = view.images(after=-1, limit=MAX_RETRIED, kind="failed")
    lost = (
        view.images(after=-1, limit=MAX_RETRIED, kind="waiting")
        if backend.requests.depth().total == 0
        else []
    )
    retried: list[int] = []
    for one in sorted(failed + lost, key=lambda one: one.index):
        if index is not None and one.index != index:
            continue
        identity = request_id(view.job_id, one.index)
        key = find_input(backend, identity)
        if key is None:
            continue
        if one.outcome is not None:
            notes = [attempt_key(identity, number) for number in range(1, MAX_ATTEMPTS + 1)]
            backend.records.delete(notes)
            backend.outputs.delete([outcome_key(identity)])
            view.forget([one.index])
        sender.send_stored(ManifestEntry(one.index, one.name), key)
        retried.append(one.index)
    return retried


def delete_failed_outcomes(backend: Backend, job: Job) -> Iterator[int]:
    """Remove the failure outcomes of a job, so that its images can be sent again; give their
    places, each after it was done.

    The notes on what an image did to its process go too: it starts afresh. So does the stored image
    if the file that it came from is another one by now, or the old bytes would be tried again.
    An image that was refused with others by the web tier is in no store: its failure stays.
    Idempotent; when it is interrupted, what it removed is sent again by resuming the job.
    """
    entries = iter_manifest(backend, job)
    for index in sent_indexes(backend, job):
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
