"""Rotation of the log of a local worker, to which all its processes append.

When the log is too long, its end is copied to a file beside it and the log is truncated. The
processes write to the file directly, so that the last output of a killed worker or a crash handler
is in it. The log may exceed its limit until the next check.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from iraas.backends.local.durable_files import write_atomic

LOG_ENV_VAR = "IRAAS_WORKER_LOG"
"""Holds the path of the log, in a worker's environment; its fleet redirects its output there."""
MAX_LOG_BYTES = 1_000_000
KEPT_BYTES = 250_000
CHECK_INTERVAL_S = 0.25


def rotated_path(log: Path) -> Path:
    """The file that holds the end of a rotated log."""
    return log.with_name(f"{log.name}.1")


def rotate(log: Path, max_bytes: int = MAX_LOG_BYTES, kept_bytes: int = KEPT_BYTES) -> bool:
    """Truncate a log that is too long, and keep its end in the file beside it.

    Writers must append. Output during the copy is kept as well; a line that is written in the
    microseconds between the last read and the truncation is lost. Do not call it concurrently for
    the same log.

    Args:
        log: The log; it may be missing.
        max_bytes: The longest log that is left alone, in bytes.
        kept_bytes: Bytes of its end that are kept.

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
        write_atomic(rotated_path(log), whole_lines)
        with rotated_path(log).open("ab", buffering=0) as older:
            older.write(os.pread(descriptor, kept_bytes, size_bytes))
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
    return True


@contextmanager
def bounded_log(log: Path | None, interval_s: float = CHECK_INTERVAL_S) -> Iterator[None]:
    """Rotate a log whenever it is too long, in a thread, for the duration of the block.

    Args:
        log: The log; nothing is done if None.
        interval_s: Seconds between two checks of its length.
    """
    if log is None:
        yield
        return
    stop = threading.Event()

    def check() -> None:
        while not stop.wait(interval_s):
            with suppress(OSError):  # such as a full disk: the next check tries again
                rotate(log)

    with suppress(OSError):
        rotate(log)
    thread = threading.Thread(target=check, name="log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        with suppress(OSError):
            rotate(log)
