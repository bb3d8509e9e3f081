"""An object store in memory."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from iraas.core.keys import check_key
from iraas.core.ports import StoredObject
from iraas.errors import ObjectNotFoundError


class MemoryStore:
    """The `ObjectStore` port in memory. Thread-safe."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """Start empty.

        Args:
            clock: Returns the time in seconds, for `StoredObject.modified_at`.
        """
        self._clock = clock
        self._objects: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes) -> None:
        """Store an object, replacing an existing one."""
        check_key(key)
        with self._lock:
            self._objects[key] = (bytes(data), self._clock())

    def put_if_absent(self, objects: Sequence[tuple[str, bytes]]) -> list[bool]:
        """Store the absent objects. See `iraas.core.ports.ObjectStore.put_if_absent`."""
        for key, _ in objects:
            check_key(key)
        stored = []
        with self._lock:
            for key, data in objects:
                stored.append(key not in self._objects)
                self._objects.setdefault(key, (bytes(data), self._clock()))
        return stored

    def get(self, key: str) -> bytes:
        """Read an object. See `iraas.core.ports.ObjectStore.get`."""
        try:
            return self._objects[check_key(key)][0]
        except KeyError as exc:
            raise ObjectNotFoundError(f"the store has nothing under {key}") from exc

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects. Idempotent."""
        for key in keys:
            check_key(key)
        with self._lock:
            for key in keys:
                self._objects.pop(key, None)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """List objects by key, as they were when the iteration began."""
        if prefix:
            if not prefix.endswith("/"):
                raise ValueError(f"prefix {prefix[:80]!r} does not end with /")
            check_key(prefix[:-1])
        return self._list(prefix, after)

    def _list(self, prefix: str, after: str) -> Iterator[StoredObject]:
        with self._lock:
            keys = [key for key in self._objects if key.startswith(prefix) and key > after]
        for key in sorted(keys):
            found = self._objects.get(key)
            if found is not None:
                yield StoredObject(key, len(found[0]), found[1])
