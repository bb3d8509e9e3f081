"""A limit on what clients can make the server log."""

import logging
import threading

WINDOW_S = 60.0
LOGGERS = ("uvicorn.error", "python_multipart.multipart", "iraas.web.errors")
"""Loggers with a message for each malformed or failed request; its client is informed anyway."""
LIMITED_LEVELS = {logging.WARNING, logging.ERROR}


class OncePerWindow(logging.Filter):
    """Passes one warning or error of each origin in the code per window. Thread-safe.

    The next record that passes says how many were suppressed before it.

    Args:
        window_s: Length of the window, in seconds.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        super().__init__()
        self._window_s = window_s
        self._lock = threading.Lock()
        self._logged: dict[tuple[str, int, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is logged."""
        if record.levelno not in LIMITED_LEVELS:
            return True
        origin = (*_origin(record), record.levelno)
        with self._lock:
            logged_at, suppressed = self._logged.get(origin, (float("-inf"), 0))
            if record.created - logged_at < self._window_s:
                self._logged[origin] = (logged_at, suppressed + 1)
                return False
            self._logged[origin] = (record.created, 0)
        if suppressed:
            record.msg = f"{record.getMessage()} (and {suppressed:,} more like it)"
            record.args = ()
        return True


def _origin(record: logging.LogRecord) -> tuple[str, int]:
    """Return where an error was raised, else where the record was logged.

    All failed requests are logged by the same line, so that the line alone says nothing.
    """
    trace = record.exc_info[2] if record.exc_info else None
    if trace is None:
        return record.pathname, record.lineno
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename, trace.tb_lineno


_LIMIT = OncePerWindow()


def limit_warnings() -> None:
    """Limit the warnings of the libraries that parse requests. Idempotent."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_LIMIT)
