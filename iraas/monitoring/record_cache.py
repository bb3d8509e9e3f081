"""Records under a prefix, each read once: those of workers and instances that are gone stay as they
are, and soon are most of them.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from iraas.core.ports import ObjectStore
from iraas.errors import MessageError, ObjectNotFoundError

Record = TypeVar("Record")

SETTLED_S = 60.0
"""A record that was written less long ago may change without another time of writing: some stores
count in seconds, and clocks differ."""


class RecordCache(Generic[Record]):
    """Reads all records of one kind, again and again, without fetching again what has not changed.

    Not thread-safe.

    Args:
        store: The records store.
        prefix: Where they lie.
        decode: Reads one; a `MessageError` of it has that one passed over.
        clock: Gives seconds since the epoch.
    """

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        decode: Callable[[bytes], Record],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._decode = decode
        self._clock = clock
        self._known: dict[tuple[str, int, float], Record | None] = {}

    def read(self) -> list[Record]:
        """All records that can be read, by key.

        Raises:
            BackendError: The store failed.
        """
        return [record for record in self._records() if record is not None]

    def _records(self) -> Iterator[Record | None]:
        settled: dict[tuple[str, int, float], Record | None] = {}
        now = self._clock()
        for one in self._store.list(self._prefix):
            version = (one.key, one.size_bytes, one.modified_at)
            record = self._known[version] if version in self._known else self._get(one.key)
            if now - one.modified_at > SETTLED_S:
                settled[version] = record
            yield record
        self._known = settled

    def _get(self, key: str) -> Record | None:
        try:
            return self._decode(self._store.get(key))
        except (ObjectNotFoundError, MessageError):
            return None
