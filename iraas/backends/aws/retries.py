"""Trying again what botocore does not: single entries of a batch, conflicts, broken downloads."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from iraas.errors import BackendUnavailableError

Result = TypeVar("Result")


class RetryableError(BackendUnavailableError):
    """What `Retries` tries again, and what is raised when it has been tried often enough."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often to try, and how long to wait in between: exponential, with full jitter.

    Attributes:
        attempts: Tries in all, the first one included; at least 1.
        first_s: Seconds waited after the first try, at most; doubled each time.
        longest_s: Seconds between two tries, at most.
        sleep: Waits that many seconds; passed in by tests.
    """

    attempts: int = 8
    first_s: float = 0.1
    longest_s: float = 5.0
    sleep: Callable[[float], None] = time.sleep

    def run(self, act: Callable[[], Result]) -> Result:
        """Call `act` until it does something else than raise TryAgainError, but not for ever.

        Raises:
            TryAgainError: That of the last try.
        """
        tries = Retrying(
            sleep=self.sleep,
            stop=stop_after_attempt(self.attempts),
            wait=wait_random_exponential(multiplier=self.first_s, max=self.longest_s),
            retry=retry_if_exception_type(RetryableError),
            reraise=True,
        )
        return tries(act)
