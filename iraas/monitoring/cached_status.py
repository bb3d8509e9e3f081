"""The deployment's status, shared by all who look at it."""

import threading
import time
from collections.abc import Callable

from iraas.core.ports import Backend
from iraas.monitoring.status import Status, StatusCache, take_status


class CachedStatus:
    """Takes the status at most as often as somebody needs it. Thread-safe.

    Args:
        backend: The deployment.
        deployment: Its name.
        clock: Gives seconds since the epoch.
        now: Gives monotonic seconds.
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
        self._memory = StatusCache(backend, clock)

    @property
    def known(self) -> Status | None:
        """The last status that was taken, however old; None if none was."""
        return self._status

    def latest(self, older_than_s: float) -> Status:
        """The status; taken now if the last one is older than that. Blocks.

        Raises:
            BackendError: A part of the deployment could not be asked.
        """
        with self._lock:
            if self._status is None or self._now() - self._taken_at > older_than_s:
                self._status = take_status(
                    self._backend, self._deployment, self._clock, self._memory
                )
                self._taken_at = self._now()
            return self._status
