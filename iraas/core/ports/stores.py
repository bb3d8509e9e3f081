"""Object stores: named blobs, stored whole or not at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a listing tells of an object. `modified_at` is in seconds since the epoch."""

    key: str
    size_bytes: int
    modified_at: float


class ObjectStore(Protocol):
    """Named blobs. What was stored is read back whole or not at all, never half written.

    Keys satisfy `iraas.core.keys.check_key`; any other raises ValueError. Methods may be called
    from several threads and processes at once.

    Raises (all methods):
        BackendUnavailableError: It failed for now; adapters have retried, with a bound.
    """

    def put(self, key: str, data: bytes) -> None:
        """Store an object, replacing the one under that key. Durable when it returns. Of two
        writers at once, one wins whole.
        """
        ...

    def put_if_absent(self, objects: Sequence[tuple[str, bytes]]) -> list[bool]:
        """Store each object unless one is there under its key; tell which were stored.

        Of any number of writers of one key at once exactly one is told True. All are durable when
        it returns, those that were found included. If it raises, some may have been stored.
        """
        ...

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            ObjectNotFoundError: There is none under that key.
        """
        ...

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """List the objects whose key starts with a prefix, sorted by key, those after a key only.

        A prefix is empty or ends with ``/``. Lazy: pages are read as they are asked for, and
        memory does not grow with the number of objects. Objects stored or removed meanwhile may
        be listed or not.
        """
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects. Idempotent: a key with nothing under it is no error."""
        ...
