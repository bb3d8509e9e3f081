"""Trying the failed images of a job again, from the images that are in the input store."""

from iraas.core.ids import request_id
from iraas.core.jobs import ManifestEntry
from iraas.core.keys import MAX_ATTEMPTS, attempt_key, outcome_key
from iraas.core.ports import Backend
from iraas.errors import UsageError
from iraas.services.job_view import JobView
from iraas.services.sending import Sender, find_input

MAX_RETRIED = 10_000


def retry_failures(
    backend: Backend, view: JobView, sender: Sender, *, index: int | None = None
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
