"""The readiness check, which does not query the backend for every probe."""

import time
from collections.abc import Awaitable, Callable

READY_AGE_S = 1.0


class Readiness:
    """Caches for `READY_AGE_S` seconds whether the backend responds.

    Used from the event loop alone.

    Args:
        probe: Queries the backend; raises if it does not respond.
        now: Returns monotonic seconds.
    """

    def __init__(
        self, probe: Callable[[], Awaitable[object]], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._probe = probe
        self._now = now
        self._probed_at = float("-inf")
        self._error: Exception | None = None

    async def check(self) -> None:
        """Return if the backend responds.

        Raises:
            BackendError: It does not, or did not when it was last queried.
        """
        if self._now() - self._probed_at >= READY_AGE_S:
            self._probed_at = self._now()  # first, so that concurrent checks do not query too
            try:
                await self._probe()
            except Exception as exc:
                self._error = exc
                raise
            self._error = None
        elif self._error is not None:
            raise self._error
