"""The requests of a job that have an outcome: a bitmap, so that a large job fits in memory."""

from collections.abc import Iterator


class OutcomeLedger:
    """Marks requests as concluded. Not thread-safe.

    Args:
        total: The number of requests of the job.

    Attributes:
        concluded: The number of requests marked as concluded.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.concluded = 0
        self._bits = bytearray((total + 7) // 8)

    def mark(self, index: int) -> bool:
        """Mark a request as concluded; return whether it was new. Other indexes are ignored."""
        if not 0 <= index < self.total or self.has(index):
            return False
        self._bits[index >> 3] |= 1 << (index & 7)
        self.concluded += 1
        return True

    def has(self, index: int) -> bool:
        """Return whether a request is concluded; `index` must be in 0..total - 1."""
        return bool(self._bits[index >> 3] & 1 << (index & 7))

    @property
    def is_complete(self) -> bool:
        """Whether every request is concluded."""
        return self.concluded == self.total

    def missing(self) -> Iterator[int]:
        """Iterate over the indexes of requests that are not concluded, in order."""
        return (index for index in range(self.total) if not self.has(index))
