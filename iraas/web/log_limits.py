"""A bound on what clients can make a server log."""

import logging
import threading

WINDOW_S = 60.0
LOGGERS = ("uvicorn.error", "python_multipart.multipart")
"""They warn of each request that is mangled; its client is told so anyway."""


class OncePerWindow(logging.Filter):
    """Lets one warning of each place in the code through in so many seconds, with how many there
    were before it. Errors always pass. Thread-safe.

    Args:
        window_s: So many seconds.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        super().__init__()
        self._window_s = window_s
        self._lock = threading.Lock()
        self._told: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is logged."""
        if record.levelno != logging.WARNING:
            return True
        place = (record.pathname, record.lineno)
        with self._lock:
            told_at, more = self._told.get(place, (float("-inf"), 0))
            if record.created - told_at < self._window_s:
                self._told[place] = (told_at, more + 1)
                return False
            self._told[place] = (record.created, 0)
        if more:
            record.msg = f"{record.getMessage()} (and {more:,} more like it)"
            record.args = ()
        return True


_LIMIT = OncePerWindow()


def limit_warnings() -> None:
    """Bound the warnings of the libraries that read requests. Idempotent."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_LIMIT)
