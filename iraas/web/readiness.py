"""Whether the server can take requests, without asking the backend for every probe."""

import time
from collections.abc import Awaitable, Callable

READY_AGE_S = 1.0


class Readiness:
    """Remembers for a moment that the backend answered, or why not. Used from the event loop alone.

    Args:
        ask: Raises if the backend does not answer.
        now: Gives monotonic seconds.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[object]], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._now = now
        self._asked_at = float("-inf")
        self._error: Exception | None = None

    async def check(self) -> None:
        """Return if the backend answers.

        Raises:
            BackendError: It does not.
        """
        if self._now() - self._asked_at >= READY_AGE_S:
            self._asked_at = self._now()  # first, so that others do not ask meanwhile
            try:
                await self._ask()
            except Exception as exc:
                self._error = exc
                raise
            self._error = None
        elif self._error is not None:
            raise self._error
