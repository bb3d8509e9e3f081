"""Finding and ending all processes of an instance, by a variable in their environment."""

import signal
import time
from collections.abc import Callable, Iterator

import psutil

from iraas.sandbox.environment import INSTANCE_ENV_VAR

_PAUSE_S = 0.02
_SCAN_INTERVAL_S = 0.5
_KILL_TIMEOUT_S = 5.0


def processes_of(instance_ids: set[str]) -> Iterator[psutil.Process]:
    """The visible processes of these instances. Reads the environment of every process."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(INSTANCE_ENV_VAR) in instance_ids:
                yield process
        except psutil.Error:
            continue  # it has exited, or belongs to another user


def end_processes(
    instance_ids: set[str], *, shutdown_timeout_s: float, is_finished: Callable[[], bool]
) -> None:
    """Send SIGTERM to the processes of instances, and SIGKILL to those that remain.

    Blocks until they have exited, or for a few seconds after the kill. A stopped process is
    continued, so that it can exit. A process that is being started is found by a later scan. psutil
    checks a process's start time before it sends a signal, so that a reused pid gets none.

    Args:
        instance_ids: The instances.
        shutdown_timeout_s: Seconds between SIGTERM and SIGKILL.
        is_finished: Returns whether all processes have exited.
    """
    start = time.monotonic()
    next_scan = start
    while not is_finished():
        now = time.monotonic()
        if now > start + shutdown_timeout_s + _KILL_TIMEOUT_S:
            return
        if now >= next_scan:
            force = now >= start + shutdown_timeout_s
            for process in processes_of(instance_ids):
                _end(process, force=force)
            next_scan = now + (
                _SCAN_INTERVAL_S if force else min(_SCAN_INTERVAL_S, shutdown_timeout_s)
            )
        time.sleep(_PAUSE_S)


def _end(process: psutil.Process, *, force: bool) -> None:
    try:
        if force:
            process.send_signal(signal.SIGKILL)
        else:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
    except psutil.Error:
        return  # it has exited
