"""A read cache of records: those of terminated workers and instances never change, and they are
soon the majority.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from iraas.core.ports import ObjectStore
from iraas.errors import MessageError, ObjectNotFoundError

Record = TypeVar("Record")

SETTLED_S = 60.0
"""Records younger than this are not cached: they may change without a new modification time,
because some stores count in whole seconds and clocks differ."""


class RecordCache(Generic[Record]):
    """Reads all records under a prefix without fetching unchanged ones again. Not thread-safe.

    Args:
        store: The records store.
        prefix: The prefix of their keys.
        decode: Decodes a record; those for which it raises `MessageError` are skipped.
        clock: Returns seconds since the epoch.
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
        """Return all readable records, sorted by key.

        Raises:
            BackendError: The store failed.
        """
        return [record for record in self._records() if record is not None]

    def _records(self) -> Iterator[Record | None]:
        settled: dict[tuple[str, int, float], Record | None] = {}
        now = self._clock()
        for entry in self._store.list(self._prefix):
            version = (entry.key, entry.size_bytes, entry.modified_at)
            record = self._known[version] if version in self._known else self._get(entry.key)
            if now - entry.modified_at > SETTLED_S:
                settled[version] = record
            yield record
        self._known = settled

    def _get(self, key: str) -> Record | None:
        try:
            return self._decode(self._store.get(key))
        except (ObjectNotFoundError, MessageError):
            return None
