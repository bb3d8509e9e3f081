"""After a failure wait, after another one twice as long: so that nothing fails in a hot loop."""

from collections.abc import Callable


class Backoff:
    """Counts failures in a row and says how long to wait after them. Not thread-safe.

    Args:
        clock: Gives seconds, of any origin.
        first_s: The wait after the first failure.
        longest_s: The longest wait.

    Attributes:
        consecutive_failures: Failures since something last worked.
        reason: Why it failed last; empty after something has worked.
    """

    def __init__(self, clock: Callable[[], float], *, first_s: float, longest_s: float) -> None:
        self._clock = clock
        self._first_s = first_s
        self._longest_s = longest_s
        self._until = 0.0
        self.consecutive_failures = 0
        self.reason = ""

    def record_failure(self, reason: str) -> None:
        """Count a failure, and wait from now on."""
        # Bounded, for two to the power of a long row is no float any more.
        length_s = min(self._first_s * 2.0 ** min(self.consecutive_failures, 30), self._longest_s)
        self.consecutive_failures += 1
        self.reason = reason
        self._until = self._clock() + length_s

    def reset(self) -> None:
        """End the row, and the wait."""
        self.consecutive_failures = 0
        self.reason = ""
        self._until = 0.0

    @property
    def remaining_s(self) -> float:
        """Seconds that are still to be waited."""
        return max(0.0, self._until - self._clock())
