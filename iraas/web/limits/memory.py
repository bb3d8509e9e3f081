"""Memory of request bodies: reserving it, and returning freed heap memory to the operating system.

The C library keeps the memory of freed image buffers in per-thread heaps and releases it only from
the end of a heap, so that a process would stay as large as its largest load ever was.
"""

import ctypes
from collections.abc import Callable
from typing import Self

from iraas.web.limits.client_quota import ClientQuota
from iraas.web.problems import Problem, busy

MIN_TRIM_BYTES = 16_000_000
"""Less released memory is not worth a walk over the heap."""


class MemoryReservation:
    """Bytes reserved by one request; released at the end of a ``with`` block.

    Used from the event loop alone.

    Args:
        budget: The budget to reserve from.
        client: The client that the bytes are charged to.
    """

    def __init__(self, budget: "MemoryBudget", client: str) -> None:
        self._budget = budget
        self._client = client
        self._reserved_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shrink(self._reserved_bytes)

    def grow(self, size_bytes: int) -> None:
        """Reserve more bytes.

        Raises:
            Problem: The budget, or this client's share of it, is exhausted (429).
        """
        if not self._budget.quota.reserve(self._client, size_bytes):
            raise _exhausted()
        self._reserved_bytes += size_bytes

    async def grow_within(self, size_bytes: int, within_s: float) -> None:
        """Reserve more bytes, waiting up to `within_s` seconds until they are available.

        Raises:
            Problem: They did not become available in time (429).
        """
        if not await self._budget.quota.reserve_within(self._client, size_bytes, within_s):
            raise _exhausted()
        self._reserved_bytes += size_bytes

    def shrink(self, size_bytes: int) -> None:
        """Release bytes; never more than are reserved."""
        released = min(size_bytes, self._reserved_bytes)
        self._reserved_bytes -= released
        self._budget.released_bytes += released
        self._budget.quota.release(self._client, released)


class MemoryBudget:
    """Limits the bytes that all requests together hold in memory. Used from the event loop alone.

    Args:
        max_bytes: The limit for all clients together.
        share: The fraction of it that one client may reserve, in 0..1.

    Attributes:
        quota: The reserved bytes by client.
        released_bytes: Bytes released since the start, for `HeapTrimmer`.
    """

    def __init__(self, max_bytes: int, share: float = 1.0) -> None:
        self.quota = ClientQuota(max_bytes, share)
        self.released_bytes = 0

    def reserve(self, client: str = "") -> MemoryReservation:
        """Open a reservation for one request, empty at first."""
        return MemoryReservation(self, client)


class HeapTrimmer:
    """Returns heap memory to the operating system where the C library can (glibc).

    Not thread-safe: call `run` from one thread.

    Args:
        released_bytes: Returns the bytes released by all requests since the start.
    """

    def __init__(self, released_bytes: Callable[[], int]) -> None:
        self._released_bytes = released_bytes
        self._trimmed_bytes = 0
        self._trim = find_malloc_trim()

    def run(self) -> None:
        """Trim if at least `MIN_TRIM_BYTES` were released since the last time.

        Takes milliseconds, without the GIL.
        """
        released_bytes = self._released_bytes()
        if self._trim is not None and released_bytes - self._trimmed_bytes >= MIN_TRIM_BYTES:
            self._trimmed_bytes = released_bytes
            self._trim(0)


def find_malloc_trim() -> Callable[[int], int] | None:
    """Look up glibc's ``malloc_trim``; None with another C library."""
    try:
        function: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return function


def _exhausted() -> Problem:
    return busy("too many images are being transferred at once", 2.0)
