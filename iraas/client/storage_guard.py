"""Refusing images while the disk or the quota has no room for them.

The bounds are for images. Outcomes, records and what is on its way may go below the floor, so that
workers can always finish what was accepted.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from iraas.core.ports import Storage, StorageUsage
from iraas.errors import StorageFullError

USUAL_FLOOR_BYTES = 1_000_000_000
USUAL_FLOOR_SHARE = 0.02
FRESH_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageLimits:
    """The room that images may take.

    Attributes:
        min_free_bytes: Free space at which no more are taken; None for 1 GB, or 2% of the disk
            where that is less. 0 for no floor.
        max_stored_bytes: Bytes of images at which no more are taken; 0 for no quota.
    """

    min_free_bytes: int | None = None
    max_stored_bytes: int = 0

    def floor_bytes(self, total_bytes: int | None) -> int:
        """The least free space on a disk of a size."""
        if self.min_free_bytes is not None:
            return self.min_free_bytes
        if total_bytes is None:
            return USUAL_FLOOR_BYTES
        return min(USUAL_FLOOR_BYTES, int(USUAL_FLOOR_SHARE * total_bytes))


class StorageGuard:
    """Asks the storage now and then, and counts what was taken since. Thread-safe.

    What it lets in beyond a bound is what other processes store within `FRESH_S` seconds.

    Args:
        storage: The deployment's storage.
        limits: The bounds.
        now: Gives monotonic seconds.
    """

    def __init__(
        self,
        storage: Storage,
        limits: StorageLimits,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._limits = limits
        self._now = now
        self._usage = StorageUsage()
        self._taken_bytes = 0
        self._asked_at = float("-inf")
        self._lock = threading.Lock()

    def check(self, size_bytes: int = 0) -> None:
        """Let images in.

        Args:
            size_bytes: Their bytes, as far as they are known.

        Raises:
            StorageFullError: There is no room for them.
            BackendUnavailableError: The storage cannot be asked.
        """
        with self._lock:
            self._check(size_bytes)

    def take(self, size_bytes: int) -> None:
        """Let images in that will be stored at once. See `check`."""
        with self._lock:
            self._check(size_bytes)
            self._taken_bytes += size_bytes

    def _check(self, size_bytes: int) -> None:
        if self._now() - self._asked_at > FRESH_S:
            self._usage = self._storage.usage()
            self._taken_bytes = 0
            self._asked_at = self._now()
        usage, coming = self._usage, self._taken_bytes + size_bytes
        if usage.free_bytes is not None:
            floor = self._limits.floor_bytes(usage.total_bytes)
            if floor and usage.free_bytes - coming < floor:
                raise _disk_full(usage.free_bytes - self._taken_bytes, size_bytes, floor)
        quota = self._limits.max_stored_bytes
        if quota and usage.used_bytes is not None and usage.used_bytes + coming >= quota:
            raise _quota_full(usage.used_bytes + self._taken_bytes, size_bytes, quota)


def _disk_full(free_bytes: int, size_bytes: int, floor_bytes: int) -> StorageFullError:
    return StorageFullError(
        f"the disk has {_text(free_bytes)} left, too little for {_more(size_bytes)}: "
        f"{_text(floor_bytes)} are to stay free",
        remedy="Delete jobs or free some space on that disk, or lower min_free_bytes.",
    )


def _quota_full(used_bytes: int, size_bytes: int, quota_bytes: int) -> StorageFullError:
    return StorageFullError(
        f"images take {_text(used_bytes)} already, which leaves no room for {_more(size_bytes)}: "
        f"{_text(quota_bytes)} are allowed",
        remedy="Delete jobs, or raise max_stored_bytes.",
    )


def _more(size_bytes: int) -> str:
    return f"{_text(size_bytes)} more" if size_bytes else "more images"


def _text(size_bytes: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} bytes"
