"""Count the system calls and the Python lines of a call: the measures of "light" and "quick" here.

A duration would depend on how busy the machine is.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_recordings: list[tuple[int, str, list[tuple[Any, ...]]]] = []


@contextmanager
def recorded(event: str) -> Iterator[list[tuple[Any, ...]]]:
    """The arguments of each audit event of that name, in this thread and within the block.

    Args:
        event: As in Python's table of audit events: ``open``, ``os.kill``, ``subprocess.Popen`` …
    """
    recording = (threading.get_ident(), event, list[tuple[Any, ...]]())
    _recordings.append(recording)
    try:
        yield recording[2]
    finally:
        _recordings.remove(recording)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if not _recordings:
        return
    me = threading.get_ident()
    for thread, wanted, found in _recordings:
        if (thread, wanted) == (me, event):
            found.append(arguments)


sys.addaudithook(_note)  # one for good, for Python has no way to remove it


def lines_run(function: Callable[[], object]) -> int:
    """The number of Python lines that a call executes, callees included."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count
