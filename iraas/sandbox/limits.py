"""Limits that a process sets to itself before it decodes images of strangers."""

import ctypes
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_OPEN_FILES = 64
MAX_WRITTEN_BYTES = 64 * 1024
"""The longest file that may be written: the one that stderr goes to (`process.py`)."""

_PR_SET_PDEATHSIG = 1
_STATM = Path("/proc/self/statm")


def limit_files() -> None:
    """Limit open files and the length of written ones, and write no core dumps.

    Idempotent. A write beyond the limit fails; the signal for it is ignored by Python.
    """
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, MAX_WRITTEN_BYTES)
    _lower(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)


def limit_memory(headroom_bytes: int) -> bool:
    """Limit the address space to what the process uses now and so many bytes more.

    Call it once everything that stays in memory is loaded. An allocation beyond the limit fails
    with MemoryError.

    Args:
        headroom_bytes: Bytes that may still be allocated at once.

    Returns:
        Whether the system offers it: Linux does, macOS does not enforce this limit.
    """
    try:
        pages = int(_STATM.read_text().split()[0])
    except OSError:
        return False
    _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + headroom_bytes)
    return True


def end_with_parent() -> None:
    """See to it that this process is killed when the thread that started it is gone.

    On Linux (prctl(2), PR_SET_PDEATHSIG); elsewhere, and where the parent was gone before, the
    process leaves when its input ends.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def cpu_budget(seconds: float) -> Iterator[None]:
    """End this process by SIGPROF once what runs inside has used that much CPU time.

    The timer counts the CPU time of the whole process, user and system, and the default action of
    its signal is to end the process: no decoder in C has to return for it. Main thread only.

    Args:
        seconds: CPU seconds, greater than 0.
    """
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


def _lower(kind: int, limit: int) -> None:
    """Set a limit, soft and hard, unless the hard limit is lower already."""
    _, hard = resource.getrlimit(kind)
    lowest = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (lowest, lowest))
