"""The failure outcomes of images that were refused before they were sent, many in one object.

Nobody else ever writes an outcome of such an image, so that a batch needs no *put if absent* for
each of them. Of the images of an upload, those refused together lie in one object of JSON lines:
ten thousand empty files leave a handful of objects.
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
"""The first and the last place in a batch, and its key."""


def store_refusals(backend: Backend, job_id: str, outcomes: Sequence[Outcome]) -> None:
    """Store the outcomes of images that are not sent, as one object. Idempotent.

    Args:
        backend: The deployment.
        job_id: Their job.
        outcomes: One at least, in the order of the images.

    Raises:
        BackendError: The output store failed.
    """
    places = [index_of(one) for one in outcomes]
    data = b"".join(one.encode() + b"\n" for one in outcomes)
    key = refusals_key(job_id, places[0], places[-1])
    backend.outputs.put_if_absent([(key, data)])


def read_refusals(backend: Backend, key: str) -> list[Outcome]:
    """The outcomes in a batch; none if it was removed.

    Raises:
        MessageError: It is corrupt.
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
    """The outcomes of a job's refused images, in the order of the images; a batch in memory.

    Args:
        backend: The deployment.
        keys: The keys of the batches, sorted.
        is_known: Tells which places to leave out. A batch whose last place is known is not read.

    Raises:
        MessageError: A batch is corrupt.
        BackendError: The output store failed.
    """
    for key in keys:
        places = refusals_range(key)
        if places is not None and not is_known(places[1]):
            found = read_refusals(backend, key)
            yield from (outcome for outcome in found if not is_known(index_of(outcome)))


class RefusalReader:
    """The refused images of one job, as far as they were learned of. Thread-safe.

    Keeps their places, and the outcomes of one batch.

    Args:
        backend: The deployment.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._batches: list[Batch] = []
        self._known: set[str] = set()
        self._places = IndexSet()
        self._read_key = ""
        self._read: dict[int, Outcome] = {}
        self._lock = threading.Lock()

    def __contains__(self, index: int) -> bool:
        """Whether the image at a place was refused."""
        with self._lock:
            return index in self._places

    def learn(self, key: str) -> list[int]:
        """Take in a key of the output store; gives back the places that it tells of.

        Raises:
            MessageError: It is a batch, and corrupt.
            BackendError: The output store failed.
        """
        places = refusals_range(key)
        if places is None or key in self._known:
            return []
        found = [index_of(one) for one in read_refusals(self._backend, key)]
        with self._lock:
            self._known.add(key)
            insort(self._batches, (*places, key))
            for index in found:
                self._places.add(index)
        return found

    def places(self) -> list[int]:
        """The places of all that were learned of, in order."""
        with self._lock:
            return list(self._places)

    def get(self, index: int) -> Outcome | None:
        """The outcome of the refused image at a place; None if there is none.

        Raises:
            MessageError: Its batch is corrupt.
            BackendError: The output store failed.
        """
        with self._lock:
            number = bisect_right(self._batches, index, key=lambda batch: batch[0]) - 1
            if number < 0:
                return None
            key = self._batches[number][2]
            if key != self._read_key:
                self._read = {index_of(one): one for one in read_refusals(self._backend, key)}
                self._read_key = key
            return self._read.get(index)


def index_of(outcome: Outcome) -> int:
    """The place of an outcome's image in its job."""
    return split_request_id(outcome.request_id)[1]
