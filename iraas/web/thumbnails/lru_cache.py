"""A cache of small things that forgets what was not asked for longest."""

from collections import OrderedDict

OVERHEAD_BYTES = 200
"""What an entry weighs beside its value, about."""


class SmallCache:
    """Values by key, within a number of bytes.

    Args:
        most_bytes: All of them together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._values: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        """A value, if it is known."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Remember a value."""
        old = self._values.pop(key, None)
        if old is not None:
            self._left += len(old) + OVERHEAD_BYTES
        self._values[key] = value
        self._left -= len(value) + OVERHEAD_BYTES
        while self._left < 0:
            _, forgotten = self._values.popitem(last=False)
            self._left += len(forgotten) + OVERHEAD_BYTES
