"""Resource limits that a process sets for itself before it decodes untrusted images."""

import ctypes
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_OPEN_FILES = 64
MAX_WRITTEN_BYTES = 64 * 1024
"""The longest file that may be written; stderr goes to one (`process.py`)."""

_PR_SET_PDEATHSIG = 1
_STATM = Path("/proc/self/statm")


def limit_files() -> None:
    """Limit the number of open files and the length of written ones; disable core dumps.

    Idempotent. A write beyond the limit fails with OSError: Python ignores the signal.
    """
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, MAX_WRITTEN_BYTES)
    _lower(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)


def limit_memory(headroom_bytes: int) -> bool:
    """Limit the address space to the present use plus some headroom.

    Call it once everything that stays in memory is loaded. An allocation beyond the limit fails
    with MemoryError.

    Args:
        headroom_bytes: Bytes that may be allocated beyond the present use.

    Returns:
        Whether the system supports it: Linux does, macOS does not.
    """
    try:
        pages = int(_STATM.read_text().split()[0])
    except OSError:
        return False
    _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + headroom_bytes)
    return True


def end_with_parent() -> None:
    """Have this process killed when the thread that started it ends.

    On Linux only (prctl(2), PR_SET_PDEATHSIG). Elsewhere, and if the parent has ended already, the
    process exits when its input ends.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def cpu_budget(seconds: float) -> Iterator[None]:
    """End this process by SIGPROF once the block has used that much CPU time.

    The timer counts the CPU time of the whole process, user and system, and the default action of
    its signal ends the process even within a decoder in C. Main thread only.

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
    """Set the soft and the hard limit, unless the hard limit is lower already."""
    _, hard = resource.getrlimit(kind)
    lowest = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (lowest, lowest))
