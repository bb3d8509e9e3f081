"""A set of places in a job, kept as ranges: small while outcomes come nearly in order."""

import re
from bisect import bisect_right
from collections.abc import Iterator

MAX_INDEX = 10**8
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")


class IndexSet:
    """A set of whole numbers in 0..`MAX_INDEX` - 1. Not thread-safe."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, index: int) -> bool:
        place = bisect_right(self._starts, index) - 1
        return place >= 0 and index < self._ends[place]

    def __iter__(self) -> Iterator[int]:
        for start, end in list(zip(self._starts, self._ends, strict=True)):
            yield from range(start, end)

    def add(self, index: int) -> bool:
        """Put a number in; True if it was not in before."""
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
        """Take a number out; True if it was in."""
        place = bisect_right(self._starts, index) - 1
        if place < 0 or index >= self._ends[place]:
            return False
        start, end = self._starts[place], self._ends[place]
        kept = [one for one in ((start, index), (index + 1, end)) if one[0] < one[1]]
        self._starts[place : place + 1] = [one[0] for one in kept]
        self._ends[place : place + 1] = [one[1] for one in kept]
        self._count -= 1
        return True

    def missing(self, total: int, after: int = -1) -> Iterator[int]:
        """The numbers below `total` and above `after` that are not in, in order.

        Do not change the set while you take from this; the same holds for `minus`.
        """
        position = after + 1
        place = max(0, bisect_right(self._starts, position) - 1)
        while position < total and place < len(self._starts):
            yield from range(position, min(self._starts[place], total))
            position = max(position, self._ends[place])
            place += 1
        yield from range(position, total)

    def minus(self, other: "IndexSet", after: int = -1) -> Iterator[int]:
        """The numbers above `after` that are in this set and not in another, in order."""
        place = max(0, bisect_right(self._starts, after + 1) - 1)
        while place < len(self._starts):
            start, end = self._starts[place], self._ends[place]
            if end > after + 1:
                yield from other.missing(end, max(start - 1, after))
            place += 1

    def encode(self, max_characters: int) -> str:
        """Write the set as ``0-41,43``. What does not fit is left out, from the end."""
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
        """Read what `encode` wrote.

        Raises:
            ValueError: If it is anything else.
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
