"""What outlives the tests that opened it: threads, processes, and what nobody closed.

Whoever opens something closes it; else it fails a later test that has nothing to do with it.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.waiting import wait_until

_lasting: set[int] = set()


def children() -> dict[int, str]:
    """The living processes that this one started: their ids, and what they run."""
    found = {}
    for one in psutil.Process().children():
        try:
            if one.status() != psutil.STATUS_ZOMBIE:
                found[one.pid] = " ".join(one.cmdline())
        except psutil.NoSuchProcess:
            continue
    return found


@contextmanager
def lasting() -> Iterator[None]:
    """What is started within the block belongs to many modules: it may outlive one of them."""
    before = set(children())
    yield
    _lasting.update(set(children()) - before)


@contextmanager
def nothing_left() -> Iterator[None]:
    """What is started within the block ends with it, too; what was left open is told at its end.

    Python tells of an open file, socket or transport when it collects it. Here it does so before
    other tests begin, and pytest makes it an error of the last test of the block.
    """
    threads, processes = set(threading.enumerate()), set(children())

    def left() -> list[str]:
        return [
            *(one.name for one in threading.enumerate() if one not in threads | _waiters()),
            *(what for pid, what in children().items() if pid not in processes | _lasting),
        ]

    yield
    wait_until(lambda: not left(), lambda: f"the end of {left()}")
    gc.collect()


def _waiters() -> set[threading.Thread]:
    """Threads of asyncio's, each of which waits for the end of one child."""
    return {one for one in threading.enumerate() if one.name.startswith("asyncio-waitpid-")}
