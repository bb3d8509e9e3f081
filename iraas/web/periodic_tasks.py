"""Periodic tasks in one thread."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from iraas.errors import IraasError

log = logging.getLogger(__name__)
JOIN_TIMEOUT_S = 5.0


@dataclass(slots=True)
class PeriodicTask:
    """A function to call every `interval_s` seconds."""

    interval_s: float
    action: Callable[[], object]
    due_at: float = 0.0


class PeriodicTaskRunner:
    """Runs periodic tasks in one thread. A failed run is logged and repeated at its next time.

    Args:
        tasks: The tasks; each runs for the first time at the start.
        now: Returns monotonic seconds.
    """

    def __init__(
        self, tasks: list[PeriodicTask], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._tasks = tasks
        self._now = now
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="periodic-tasks", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current run, waiting `JOIN_TIMEOUT_S` seconds at most. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_TIMEOUT_S)

    def run_due(self) -> float:
        """Run the tasks that are due; return the seconds until the next one is."""
        for task in self._tasks:
            if self._now() >= task.due_at:
                try:
                    task.action()
                except (IraasError, OSError) as exc:
                    name = getattr(task.action, "__name__", "a periodic task")
                    log.warning("%s failed: %s", name, exc)
                task.due_at = self._now() + task.interval_s
        return max(0.0, min(task.due_at for task in self._tasks) - self._now())

    def _run(self) -> None:
        while not self._stop.wait(self.run_due()):
            pass
