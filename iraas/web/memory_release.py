"""Giving memory back to the system.

The C library keeps what large images leave behind in the heap of each thread, for the next ones,
and by itself gives it back only from the heap's end: a process stays as large as it once was.
"""

import ctypes
from collections.abc import Callable

WORTH_BYTES = 16_000_000
"""Less is not worth a walk over the heap."""


class HeapTrimmer:
    """Trims the heap after large requests, where the C library can (glibc). Used from one thread.

    Args:
        released: Tells how many bytes all requests together have given back since the start.
    """

    def __init__(self, released: Callable[[], int]) -> None:
        self._released = released
        self._trimmed = 0
        self._trim = find_trim()

    def run(self) -> None:
        """Trim, if enough was given back since the last time. Takes milliseconds, off the GIL."""
        released = self._released()
        if self._trim is not None and released - self._trimmed >= WORTH_BYTES:
            self._trimmed = released
            self._trim(0)


def find_trim() -> Callable[[int], int] | None:
    """Find ``malloc_trim`` of glibc; None where the C library is another one."""
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return found
