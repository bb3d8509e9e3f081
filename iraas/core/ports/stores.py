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


@dataclass(frozen=True, slots=True)
class StorageUsage:
    """How much images take, and how much room is left. None: the backend does not tell.

    Attributes:
        used_bytes: What the input store and the request queue take, about.
        free_bytes: What may still be written where they lie.
        total_bytes: The size of the disk where they lie.
    """

    used_bytes: int | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None


class Storage(Protocol):
    """The space that a deployment's images take. Methods may be called from several threads.

    Raises (all methods):
        BackendUnavailableError: It cannot be told for now.
    """

    def usage(self) -> StorageUsage:
        """How much is used and free. Cheap enough to be asked several times a second; counts what
        all processes of the deployment store. A process that was killed while it stored something
        may leave the count wrong by that much until the next `recount`.
        """
        ...

    def recount(self) -> None:
        """Count anew what is stored; takes as long as listing it. Others may go on meanwhile."""
        ...


class UncountedStorage:
    """The `Storage` port where nothing is counted and nothing runs full, as in a bucket."""

    def usage(self) -> StorageUsage:
        """Nothing is known."""
        return StorageUsage()

    def recount(self) -> None:
        """Nothing is counted."""


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
