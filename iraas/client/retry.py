"""Retrying the failed images of a job, from the input store."""

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
    """Send failed images again.

    An image that was refused before sending is in no store: its failure stays. If this is
    interrupted, another call sends the images whose outcome was already removed, once the queue is
    empty.

    Args:
        backend: The deployment.
        view: The job, refreshed.
        sender: Sends images of that job.
        index: The index of a single image to retry; None for all that failed.

    Returns:
        The indexes of the images that were sent.

    Raises:
        UsageError: The job was cancelled.
        MessageError: The manifest is corrupt.
        BackendError: A store or the queue failed; call it again.
    """
    if view.summary().job.cancelled:
        raise UsageError(
            "the job was cancelled: its images cannot be retried",
            remedy="Send the images again, as a new job.",
        )
    failed = view.images(after=-1, limit=MAX_RETRIED, kind="failed")
    lost = (
        view.images(after=-1, limit=MAX_RETRIED, kind="waiting")
        if backend.requests.depth().total == 0
        else []
    )
    retried: list[int] = []
    for image in sorted(failed + lost, key=lambda image: image.index):
        if index is not None and image.index != index:
            continue
        identity = request_id(view.job_id, image.index)
        key = find_input(backend, identity)
        if key is None:
            continue
        if image.outcome is not None:
            notes = [attempt_key(identity, number) for number in range(1, MAX_ATTEMPTS + 1)]
            backend.records.delete(notes)
            backend.outputs.delete([outcome_key(identity)])
            view.forget([image.index])
        sender.send_stored(ManifestEntry(image.index, image.name), key)
        retried.append(image.index)
    return retried


def delete_failed_outcomes(backend: Backend, job: Job) -> Iterator[int]:
    """Delete the failure outcomes of a job, so that its images can be sent again.

    The notes on earlier attempts are deleted too. So is the stored image if its file has changed
    since, because otherwise the old bytes would be retried. An image that the web tier refused is
    in no store: its failure stays. Idempotent; after an interruption, resuming the job sends the
    images whose outcome was deleted.

    Args:
        backend: The deployment.
        job: The job.

    Yields:
        The index of each image after its outcome was deleted.

    Raises:
        MessageError: The manifest or an outcome is corrupt.
        BackendError: A store failed.
    """
    entries = iter_manifest(backend, job)
    for index in sent_indexes(backend, job):
        outcome = stored_outcome(backend, job, index)
        if outcome.status != "failed":
            continue
        entry = next((entry for entry in entries if entry.index >= index), None)
        if entry is not None and entry.index == index:
            _delete_changed_input(backend, outcome.request_id, entry.path)
        notes = [attempt_key(outcome.request_id, n) for n in range(1, MAX_ATTEMPTS + 1)]
        backend.records.delete(notes)
        backend.outputs.delete([outcome_key(outcome.request_id)])
        yield index


def _delete_changed_input(backend: Backend, identity: str, path: str) -> None:
    key = find_input(backend, identity)
    if key is None:
        return
    try:
        is_changed = read_file(path, MAX_COMPARED_BYTES) != backend.inputs.get(key)
    except (ImageError, ObjectNotFoundError):
        return
    if is_changed:
        backend.inputs.delete([key])
