"""Object stores: named blobs, stored whole or not at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An entry of a listing. `modified_at` is in seconds since the epoch."""

    key: str
    size_bytes: int
    modified_at: float


@dataclass(frozen=True, slots=True)
class StorageUsage:
    """The disk space that images use. None: unknown to the backend.

    Attributes:
        used_bytes: The approximate size of the input store and the request queue.
        free_bytes: The free space on their disk.
        total_bytes: The size of their disk.
    """

    used_bytes: int | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None


class Storage(Protocol):
    """The disk space that a deployment's images use. Thread-safe.

    Raises (all methods):
        BackendUnavailableError: Temporarily unknown.
    """

    def usage(self) -> StorageUsage:
        """Return the used and free space, counting all processes of the deployment.

        Cheap enough for several calls per second. A process that was killed while it stored an
        object may leave the count wrong by that object until the next `recount`.
        """
        ...

    def recount(self) -> None:
        """Count the stored objects from scratch; takes as long as listing them. Other processes may
        continue meanwhile.
        """
        ...


class UncountedStorage:
    """A `Storage` without counts and limits, as for a bucket."""

    def usage(self) -> StorageUsage:
        """Return a usage of unknown values."""
        return StorageUsage()

    def recount(self) -> None:
        """Do nothing."""


class ObjectStore(Protocol):
    """Named blobs. An object is read back whole or not at all, never half written.

    Keys satisfy `iraas.core.keys.check_key`; any other raises ValueError. Methods may be called
    from several threads and processes at once.

    Raises (all methods):
        BackendUnavailableError: A temporary failure; adapters have retried a bounded number of
            times.
    """

    def put(self, key: str, data: bytes) -> None:
        """Store an object, replacing an existing one. Durable when it returns. Of two concurrent
        writers, one wins whole.
        """
        ...

    def put_if_absent(self, objects: Sequence[tuple[str, bytes]]) -> list[bool]:
        """Store each object unless its key exists.

        If it raises, some may have been stored.

        Args:
            objects: Pairs of key and data.

        Returns:
            Whether each object was stored, in the same order. Of concurrent writers of one key
            exactly one gets True. All objects are durable, existing ones included.
        """
        ...

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            ObjectNotFoundError: The key does not exist.
        """
        ...

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """List objects, sorted by key.

        Lazy: pages are read on demand, and memory does not grow with the number of objects. Objects
        stored or deleted meanwhile may be listed or not.

        Args:
            prefix: The prefix of the keys; empty, or ends with ``/``.
            after: Only keys that sort after this one.
        """
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects. Idempotent: a missing key is not an error."""
        ...
