"""Find and end all processes of an instance, by the mark in their environment."""

import signal
import time
from collections.abc import Callable, Iterator

import psutil

from iraas.sandbox.environment import INSTANCE_MARK

_PAUSE_S = 0.02
_LOOK_EVERY_S = 0.5
_FORCE_S = 5.0


def processes_of(instance_ids: set[str]) -> Iterator[psutil.Process]:
    """The processes of instances that this user may see. Reads each process's environment."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(INSTANCE_MARK) in instance_ids:
                yield process
        except psutil.Error:
            continue  # it is gone, or another user's: not one that we started


def end_processes(instance_ids: set[str], *, grace_s: float, is_over: Callable[[], bool]) -> None:
    """Ask the processes of instances to leave, and kill those that are there after the grace.

    A process that is stopped is continued, so that it can leave. One that is just being started
    is found at a later look. psutil checks a process's start time before it sends a signal, so
    that none is sent to a process that got the pid of another.

    Args:
        instance_ids: Whose processes.
        grace_s: Seconds between the polite signal and the kill.
        is_over: Tells that nothing of the instances is left.
    """
    start = time.monotonic()
    look_at = start
    while not is_over():
        now = time.monotonic()
        if now > start + grace_s + _FORCE_S:
            return
        if now >= look_at:
            by_force = now >= start + grace_s
            for process in processes_of(instance_ids):
                _end(process, by_force=by_force)
            look_at = now + (_LOOK_EVERY_S if by_force else min(_LOOK_EVERY_S, grace_s))
        time.sleep(_PAUSE_S)


def _end(process: psutil.Process, *, by_force: bool) -> None:
    try:
        if by_force:
            process.send_signal(signal.SIGKILL)
        else:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
    except psutil.Error:
        return  # it is gone
