"""A cache of job progress, shared by all callers of a process."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from iraas.core.ports import Backend
from iraas.errors import JobNotFoundError
from iraas.monitoring.job_progress import JobProgress

MAX_VIEWS = 256


class JobProgressCache:
    """An LRU cache of `JobProgress`, at most `MAX_VIEWS` of them. Thread-safe.

    Args:
        backend: The deployment.
        now: Returns monotonic seconds.
    """

    def __init__(self, backend: Backend, now: Callable[[], float] = time.monotonic) -> None:
        self._backend = backend
        self._now = now
        self._views: OrderedDict[str, JobProgress] = OrderedDict()
        self._lock = threading.Lock()

    def view(self, job_id: str, *, older_than_s: float = 0.0) -> JobProgress:
        """Return a job's progress, refreshed if it is too old.

        Args:
            job_id: The job.
            older_than_s: The maximum age, in seconds; 0 always refreshes.

        Raises:
            JobNotFoundError: There is no such job.
            MessageError: The job's record, its manifest or a batch of refused images is corrupt.
            BackendError: A store failed.
        """
        with self._lock:
            view = self._views.get(job_id)
            if view is None:
                view = self._views[job_id] = JobProgress(self._backend, job_id, self._now)
            self._views.move_to_end(job_id)
            while len(self._views) > MAX_VIEWS:
                self._views.popitem(last=False)
        try:
            view.refresh(older_than_s)
        except JobNotFoundError:
            with self._lock:
                self._views.pop(job_id, None)
            raise
        return view

    def forget(self, job_id: str) -> None:
        """Remove a deleted job from the cache. Idempotent."""
        with self._lock:
            self._views.pop(job_id, None)

    def expire(self, job_id: str) -> None:
        """Make the next `view` of a job refresh it, because it has just changed."""
        with self._lock:
            view = self._views.get(job_id)
        if view is not None:
            view.expire()
