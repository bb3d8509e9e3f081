"""Bounding the log of a local worker, to which all its processes append.

When the log is too long, its end is copied to a file beside it and the log is emptied. Nobody has
to pass lines on for that: a killed worker's last words, and those of a crash handler, are in the
file. What is written between two looks may exceed the bound until the next one.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from iraas.backends.local.durable_files import write_atomic

LOG_VARIABLE = "IRAAS_WORKER_LOG"
"""Names, in a worker's environment, the log that its fleet has made its output."""
MAX_LOG_BYTES = 1_000_000
KEPT_BYTES = 250_000
LOOK_S = 0.25


def older_part(log: Path) -> Path:
    """Where the end of a log lies that was emptied."""
    return log.with_name(f"{log.name}.1")


def shorten(log: Path, max_bytes: int = MAX_LOG_BYTES, kept_bytes: int = KEPT_BYTES) -> bool:
    """Empty a log that is too long, and keep the end of what it said.

    Whoever writes to it must append. What is written while the end is stored is kept as well; a
    line that arrives in the microseconds between the last read and the emptying is lost.

    Args:
        log: The log.
        max_bytes: How long it may be.
        kept_bytes: How much of its end is kept.

    Returns:
        Whether it was too long.

    Raises:
        OSError: As the system reports it; nothing is lost then.
    """
    try:
        descriptor = os.open(log, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        size_bytes = os.fstat(descriptor).st_size
        if size_bytes <= max_bytes:
            return False
        end = os.pread(descriptor, kept_bytes, size_bytes - kept_bytes)
        whole_lines = end.partition(b"\n")[2] or end
        write_atomic(older_part(log), whole_lines)
        with older_part(log).open("ab", buffering=0) as older:
            older.write(os.pread(descriptor, kept_bytes, size_bytes))
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
    return True


@contextmanager
def bounded_log(log: Path | None, look_s: float = LOOK_S) -> Iterator[None]:
    """Keep a log within its bound for as long as this lasts; does nothing without one.

    Args:
        log: The log.
        look_s: Seconds between two looks at it.
    """
    if log is None:
        yield
        return
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(look_s):
            with suppress(OSError):  # a full disk, say: the next look tries again
                shorten(log)

    with suppress(OSError):
        shorten(log)
    thread = threading.Thread(target=watch, name="log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        with suppress(OSError):
            shorten(log)
