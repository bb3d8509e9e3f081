"""The jobs that somebody looks at, each as one view that all who look share."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from iraas.core.ports import Backend
from iraas.errors import JobNotFoundError
from iraas.monitoring.job_progress import JobProgress

MAX_VIEWS = 256


class JobProgressCache:
    """The views that this process holds, the latest few hundred. Thread-safe.

    Args:
        backend: The deployment.
        now: Gives monotonic seconds.
    """

    def __init__(self, backend: Backend, now: Callable[[], float] = time.monotonic) -> None:
        self._backend = backend
        self._now = now
        self._views: OrderedDict[str, JobProgress] = OrderedDict()
        self._lock = threading.Lock()

    def view(self, job_id: str, *, older_than_s: float = 0.0) -> JobProgress:
        """A job's view, refreshed unless that was done less than that long ago.

        Raises:
            JobNotFoundError: There is no such job.
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
        """Let go of the view of a job that was deleted."""
        with self._lock:
            self._views.pop(job_id, None)

    def expire(self, job_id: str) -> None:
        """Say that a job has just changed: the next look at it is a fresh one."""
        with self._lock:
            view = self._views.get(job_id)
        if view is not None:
            view.expire()
