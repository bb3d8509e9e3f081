"""Failure outcomes of images that were refused before sending, batched into one object.

An image that is never sent has no other writer of its outcome, so that a batch needs no *put if
absent* per image. The images of an upload that are refused together share one object of JSON
lines: ten thousand empty files leave a handful of objects.
"""

import threading
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence

from iraas.core.ids import split_request_id
from iraas.core.index_set import IndexSet
from iraas.core.keys import refusals_key, refusals_range
from iraas.core.outcomes import Outcome, decode_outcome
from iraas.core.ports import Backend
from iraas.errors import MessageError, ObjectNotFoundError

Batch = tuple[int, int, str]
"""The first and the last index in a batch, and its key."""


def store_refusals(backend: Backend, job_id: str, outcomes: Sequence[Outcome]) -> None:
    """Store the outcomes of images that are never sent, as one object. Idempotent.

    Args:
        backend: The deployment.
        job_id: Their job.
        outcomes: At least one outcome, sorted by index.

    Raises:
        BackendError: The output store failed.
    """
    data = b"".join(outcome.encode() + b"\n" for outcome in outcomes)
    key = refusals_key(job_id, index_of(outcomes[0]), index_of(outcomes[-1]))
    backend.outputs.put_if_absent([(key, data)])


def read_refusals(backend: Backend, key: str) -> list[Outcome]:
    """Read the outcomes of a batch; none if it was removed.

    Args:
        backend: The deployment.
        key: The batch's key in the output store.

    Raises:
        MessageError: The batch is corrupt.
        BackendError: The output store failed.
    """
    try:
        return [decode_outcome(line) for line in backend.outputs.get(key).splitlines()]
    except ObjectNotFoundError:
        return []
    except MessageError as exc:
        raise MessageError(f"{exc}, under {key} of the output store") from exc


def refused_outcomes(
    backend: Backend, keys: Iterable[str], is_known: Callable[[int], bool] = lambda _: False
) -> Iterator[Outcome]:
    """Iterate over the outcomes of a job's refused images, sorted by index; one batch in memory.

    Args:
        backend: The deployment.
        keys: The keys of the batches, sorted.
        is_known: Returns whether to skip an index. A batch whose last index is known is not read.

    Raises:
        MessageError: A batch is corrupt.
        BackendError: The output store failed.
    """
    for key in keys:
        bounds = refusals_range(key)
        if bounds is not None and not is_known(bounds[1]):
            found = read_refusals(backend, key)
            yield from (outcome for outcome in found if not is_known(index_of(outcome)))


class RefusalReader:
    """The refused images of one job, from the batches loaded so far. Thread-safe.

    Keeps all their indexes, and the outcomes of one batch.

    Args:
        backend: The deployment.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._batches: list[Batch] = []
        self._loaded_keys: set[str] = set()
        self._indexes = IndexSet()
        self._cached_key = ""
        self._cached: dict[int, Outcome] = {}
        self._lock = threading.Lock()

    def __contains__(self, index: int) -> bool:
        """Return whether the image at an index was refused."""
        with self._lock:
            return index in self._indexes

    def load(self, key: str) -> list[int]:
        """Load a batch. Idempotent; a key of any other object is ignored.

        Args:
            key: A key of the output store.

        Returns:
            The indexes of the batch; none if it was loaded before.

        Raises:
            MessageError: The batch is corrupt.
            BackendError: The output store failed.
        """
        bounds = refusals_range(key)
        if bounds is None or key in self._loaded_keys:
            return []
        found = [index_of(outcome) for outcome in read_refusals(self._backend, key)]
        with self._lock:
            self._loaded_keys.add(key)
            insort(self._batches, (*bounds, key))
            for index in found:
                self._indexes.add(index)
        return found

    def indexes(self) -> list[int]:
        """Return the indexes of all loaded batches, in order."""
        with self._lock:
            return list(self._indexes)

    def get(self, index: int) -> Outcome | None:
        """Return the outcome of the refused image at an index; None if there is none.

        Raises:
            MessageError: Its batch is corrupt.
            BackendError: The output store failed.
        """
        with self._lock:
            number = bisect_right(self._batches, index, key=lambda batch: batch[0]) - 1
            if number < 0:
                return None
            key = self._batches[number][2]
            if key != self._cached_key:
                found = read_refusals(self._backend, key)
                self._cached = {index_of(outcome): outcome for outcome in found}
                self._cached_key = key
            return self._cached.get(index)


def index_of(outcome: Outcome) -> int:
    """Return the index of an outcome's image in its job."""
    return split_request_id(outcome.request_id)[1]
