"""Things to be done again and again, in one thread."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from iraas.errors import IraasError

log = logging.getLogger(__name__)
JOIN_S = 5.0


@dataclass(slots=True)
class PeriodicTask:
    """Something to do every so many seconds."""

    every_s: float
    act: Callable[[], object]
    due_at: float = 0.0


class PeriodicTaskRunner:
    """Does each of its rounds when it is due. What fails is logged, and done again at its time.

    Args:
        rounds: What to do; each is first done at the start.
        now: Gives monotonic seconds.
    """

    def __init__(
        self, rounds: list[PeriodicTask], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._rounds = rounds
        self._now = now
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the round at hand, and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_S)

    def run_due(self) -> float:
        """Do what is due; gives back the seconds until the next is."""
        for one in self._rounds:
            if self._now() >= one.due_at:
                try:
                    one.act()
                except (IraasError, OSError) as exc:
                    log.warning("%s failed: %s", getattr(one.act, "__name__", "a round"), exc)
                one.due_at = self._now() + one.every_s
        return max(0.0, min(one.due_at for one in self._rounds) - self._now())

    def _run(self) -> None:
        while not self._stop.wait(self.run_due()):
            pass
