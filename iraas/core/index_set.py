"""A set of indexes in a job, stored as ranges: compact while outcomes arrive nearly in order."""

import re
from bisect import bisect_right
from collections.abc import Iterator

MAX_INDEX = 10**8
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")


class IndexSet:
    """A set of integers in 0..`MAX_INDEX` - 1. Not thread-safe."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self._starts, index) - 1
        return at >= 0 and index < self._ends[at]

    def __iter__(self) -> Iterator[int]:
        for start, end in list(zip(self._starts, self._ends, strict=True)):
            yield from range(start, end)

    def add(self, index: int) -> bool:
        """Add an index; return whether it was new."""
        after = bisect_right(self._starts, index)
        if after and index < self._ends[after - 1]:
            return False
        joins_left = after > 0 and self._ends[after - 1] == index
        joins_right = after < len(self._starts) and self._starts[after] == index + 1
        if joins_left and joins_right:
            self._ends[after - 1] = self._ends[after]
            del self._starts[after], self._ends[after]
        elif joins_left:
            self._ends[after - 1] += 1
        elif joins_right:
            self._starts[after] = index
        else:
            self._starts.insert(after, index)
            self._ends.insert(after, index + 1)
        self._count += 1
        return True

    def discard(self, index: int) -> bool:
        """Remove an index; return whether it was present."""
        at = bisect_right(self._starts, index) - 1
        if at < 0 or index >= self._ends[at]:
            return False
        start, end = self._starts[at], self._ends[at]
        kept = [bounds for bounds in ((start, index), (index + 1, end)) if bounds[0] < bounds[1]]
        self._starts[at : at + 1] = [first for first, _ in kept]
        self._ends[at : at + 1] = [last for _, last in kept]
        self._count -= 1
        return True

    def missing(self, total: int, after: int = -1) -> Iterator[int]:
        """Iterate over the indexes that are not in the set, in order.

        The set must not change during the iteration; the same holds for `minus`.

        Args:
            total: Only indexes below this one.
            after: Only indexes above this one.
        """
        position = after + 1
        at = max(0, bisect_right(self._starts, position) - 1)
        while position < total and at < len(self._starts):
            yield from range(position, min(self._starts[at], total))
            position = max(position, self._ends[at])
            at += 1
        yield from range(position, total)

    def minus(self, other: "IndexSet", after: int = -1) -> Iterator[int]:
        """Iterate over the indexes that are in this set but not in another, in order.

        Args:
            other: The other set.
            after: Only indexes above this one.
        """
        at = max(0, bisect_right(self._starts, after + 1) - 1)
        while at < len(self._starts):
            start, end = self._starts[at], self._ends[at]
            if end > after + 1:
                yield from other.missing(end, max(start - 1, after))
            at += 1

    def encode(self, max_characters: int) -> str:
        """Encode the set as ``0-41,43``; ranges that exceed `max_characters` are omitted."""
        parts: list[str] = []
        length = -1
        for start, end in zip(self._starts, self._ends, strict=True):
            part = f"{start}-{end - 1}" if end - start > 1 else str(start)
            length += len(part) + 1
            if length > max_characters:
                break
            parts.append(part)
        return ",".join(parts)

    @classmethod
    def decode(cls, text: str) -> "IndexSet":
        """Decode a text that `encode` wrote.

        Raises:
            ValueError: It is malformed.
        """
        ranges = cls()
        for part in text.split(",") if text else ():
            match = _RANGE.fullmatch(part)
            if match is None:
                raise ValueError(f"{part[:40]!r} is not a range")
            start, end = int(match[1]), int(match[2] or match[1]) + 1
            before = ranges._ends[-1] if ranges._ends else -1
            if not before < start < end <= MAX_INDEX:
                raise ValueError(f"{part[:40]!r} is out of order")
            ranges._starts.append(start)
            ranges._ends.append(end)
            ranges._count += end - start
        return ranges
