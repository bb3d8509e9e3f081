"""Which requests of a job have an outcome: one bit each, so that a large job fits in memory."""

from collections.abc import Iterator


class OutcomeLedger:
    """Marks requests as concluded. Not thread-safe.

    Args:
        total: How many requests the job has.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.concluded = 0
        self._bits = bytearray((total + 7) // 8)

    def mark(self, index: int) -> bool:
        """Mark a request as concluded; True if it was not before. An index outside is ignored."""
        if not 0 <= index < self.total or self.has(index):
            return False
        self._bits[index >> 3] |= 1 << (index & 7)
        self.concluded += 1
        return True

    def has(self, index: int) -> bool:
        """Tell whether a request is concluded."""
        return bool(self._bits[index >> 3] & 1 << (index & 7))

    @property
    def is_complete(self) -> bool:
        """True once every request is concluded."""
        return self.concluded == self.total

    def missing(self) -> Iterator[int]:
        """The requests that are not concluded, in order."""
        return (index for index in range(self.total) if not self.has(index))
