"""Refusing images while the disk or the quota has no space for them.

The limits apply to images only. Outcomes, records and requests in flight may use the reserve, so
that workers can always finish accepted images.
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
    """Limits for the disk space of images.

    Attributes:
        min_free_bytes: Free space that images must leave, in bytes; None for 1 GB, or 2% of the
            disk where that is less. 0 for no limit.
        max_stored_bytes: The quota for images, in bytes; 0 for no quota.
    """

    min_free_bytes: int | None = None
    max_stored_bytes: int = 0

    def floor_bytes(self, total_bytes: int | None) -> int:
        """Return the free space to leave on a disk, in bytes; `total_bytes` is the disk's size."""
        if self.min_free_bytes is not None:
            return self.min_free_bytes
        if total_bytes is None:
            return USUAL_FLOOR_BYTES
        return min(USUAL_FLOOR_BYTES, int(USUAL_FLOOR_SHARE * total_bytes))


class StorageGuard:
    """Admits images by the storage's usage, which it caches for `FRESH_S` seconds. Thread-safe.

    A limit can be exceeded by what other processes store within `FRESH_S` seconds.

    Args:
        storage: The deployment's storage.
        limits: The limits.
        now: Returns monotonic seconds.
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
        """Check that there is space for images.

        Args:
            size_bytes: Their size, as far as it is known.

        Raises:
            StorageFullError: There is no space for them.
            BackendUnavailableError: The usage is temporarily unknown.
        """
        with self._lock:
            self._check(size_bytes)

    def take(self, size_bytes: int) -> None:
        """Check that there is space for images, and count them as stored. See `check`."""
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
        f"{_text(floor_bytes)} must stay free",
        remedy="Delete jobs or free some space on that disk, or lower min_free_bytes.",
    )


def _quota_full(used_bytes: int, size_bytes: int, quota_bytes: int) -> StorageFullError:
    return StorageFullError(
        f"images take {_text(used_bytes)} already, which leaves no space for {_more(size_bytes)}: "
        f"the quota is {_text(quota_bytes)}",
        remedy="Delete jobs, or raise max_stored_bytes.",
    )


def _more(size_bytes: int) -> str:
    return f"{_text(size_bytes)} more" if size_bytes else "more images"


def _text(size_bytes: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} bytes"
