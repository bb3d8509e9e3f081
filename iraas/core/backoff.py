"""Exponential backoff for consecutive failures."""

from collections.abc import Callable


class Backoff:
    """Counts consecutive failures and computes the delay after them. Not thread-safe.

    Args:
        clock: Returns seconds since any fixed origin.
        first_s: The delay after the first failure, in seconds; doubles with each further one.
        longest_s: The maximum delay, in seconds.

    Attributes:
        consecutive_failures: Failures since the last success.
        reason: The reason of the last failure; empty after a success.
    """

    def __init__(self, clock: Callable[[], float], *, first_s: float, longest_s: float) -> None:
        self._clock = clock
        self._first_s = first_s
        self._longest_s = longest_s
        self._until = 0.0
        self.consecutive_failures = 0
        self.reason = ""

    def record_failure(self, reason: str) -> None:
        """Count a failure; the delay starts now."""
        # The exponent is bounded: a large power of two overflows a float.
        length_s = min(self._first_s * 2.0 ** min(self.consecutive_failures, 30), self._longest_s)
        self.consecutive_failures += 1
        self.reason = reason
        self._until = self._clock() + length_s

    def reset(self) -> None:
        """Record a success: no failures, no delay."""
        self.consecutive_failures = 0
        self.reason = ""
        self._until = 0.0

    @property
    def remaining_s(self) -> float:
        """The rest of the delay, in seconds; 0 if it is over."""
        return max(0.0, self._until - self._clock())
