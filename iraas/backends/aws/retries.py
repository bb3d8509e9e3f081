"""Retries beyond botocore's: single batch entries, write conflicts, interrupted downloads."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from iraas.errors import BackendUnavailableError

Result = TypeVar("Result")


class RetryableError(BackendUnavailableError):
    """Raised to request another attempt; the last one reaches the caller."""


@dataclass(frozen=True, slots=True)
class Retries:
    """Retry policy: exponential backoff with full jitter.

    Attributes:
        attempts: Maximum number of attempts, the first one included; at least 1.
        first_s: Upper bound of the first delay, in seconds; doubled each time.
        longest_s: Upper bound of any delay, in seconds.
        sleep: Waits for a number of seconds; replaced by tests.
    """

    attempts: int = 8
    first_s: float = 0.1
    longest_s: float = 5.0
    sleep: Callable[[float], None] = time.sleep

    def run(self, act: Callable[[], Result]) -> Result:
        """Call `act` until it no longer raises RetryableError, at most `attempts` times.

        Raises:
            RetryableError: That of the last attempt.
        """
        tries = Retrying(
            sleep=self.sleep,
            stop=stop_after_attempt(self.attempts),
            wait=wait_random_exponential(multiplier=self.first_s, max=self.longest_s),
            retry=retry_if_exception_type(RetryableError),
            reraise=True,
        )
        return tries(act)
