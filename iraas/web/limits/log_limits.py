"""A bound on what clients can make a server log."""

import logging
import threading

WINDOW_S = 60.0
LOGGERS = ("uvicorn.error", "python_multipart.multipart", "iraas.web.errors")
"""They tell of each request that is mangled or fails; its client is told so anyway."""
BOUNDED = {logging.WARNING, logging.ERROR}


class OncePerWindow(logging.Filter):
    """Lets one warning or error of each place in the code through in so many seconds, with how many
    there were before it. Thread-safe.

    Args:
        window_s: So many seconds.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        super().__init__()
        self._window_s = window_s
        self._lock = threading.Lock()
        self._told: dict[tuple[str, int, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is logged."""
        if record.levelno not in BOUNDED:
            return True
        place = (*_origin(record), record.levelno)
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


def _origin(record: logging.LogRecord) -> tuple[str, int]:
    """Where an error was raised, or else where it was logged: one place logs all that go wrong."""
    trace = record.exc_info[2] if record.exc_info else None
    if trace is None:
        return record.pathname, record.lineno
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename, trace.tb_lineno


_LIMIT = OncePerWindow()


def limit_warnings() -> None:
    """Bound the warnings of the libraries that read requests. Idempotent."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_LIMIT)
