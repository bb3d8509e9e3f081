"""The deployment's status, cached and shared by all callers."""

import threading
import time
from collections.abc import Callable

from iraas.core.ports import Backend
from iraas.monitoring.status import Status, StatusCache, take_status


class CachedStatus:
    """Caches the status and refreshes it on demand. Thread-safe.

    Args:
        backend: The deployment.
        deployment: Its name.
        clock: Returns seconds since the epoch.
        now: Returns monotonic seconds.
    """

    def __init__(
        self,
        backend: Backend,
        deployment: str,
        *,
        clock: Callable[[], float],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._deployment = deployment
        self._clock = clock
        self._now = now
        self._taken_at = float("-inf")
        self._status: Status | None = None
        self._lock = threading.Lock()
        self._cache = StatusCache(backend, clock)

    @property
    def known(self) -> Status | None:
        """The cached status, however old; None before the first call of `latest`."""
        return self._status

    def latest(self, older_than_s: float) -> Status:
        """Return the status, refreshed if it is too old. Blocks meanwhile.

        Args:
            older_than_s: The maximum age, in seconds.

        Raises:
            BackendError: A part of the deployment could not be queried.
        """
        with self._lock:
            if self._status is None or self._now() - self._taken_at > older_than_s:
                self._status = take_status(
                    self._backend, self._deployment, self._clock, self._cache
                )
                self._taken_at = self._now()
            return self._status
