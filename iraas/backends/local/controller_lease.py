"""The controller's lease as a file lock, which the system releases when its holder dies."""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from iraas.backends.local.durable_files import (
    make_folder,
    os_errors_translated,
    sweep_drafts,
    write_atomic,
)

_ATTEMPTS = 4
_PAUSE_S = 0.002


def try_lock(path: Path) -> int | None:
    """Take the exclusive lock of a file, which is made if it is missing.

    Returns:
        An open descriptor that holds the lock, or None if the lock is taken. Child processes
        inherit it only if it is passed to them; the lock is free once all copies are closed.

    Raises:
        OSError: The file cannot be opened or locked.
    """
    for attempt in range(_ATTEMPTS):
        if attempt:  # the other holder may be a check by `is_locked`, which takes microseconds
            time.sleep(_PAUSE_S)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):  # else the file was removed between the two calls
                return descriptor
        except BlockingIOError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return None


def is_locked(path: Path) -> bool:
    """Whether the exclusive lock of a file is taken; False if the file is missing.

    Raises:
        OSError: The file cannot be opened or locked.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


class FileLease:
    """The `ControllerLease` port on a lock file. Thread-safe; a forked child does not hold it."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Name the lock file; nothing is touched yet.

        Args:
            path: The lock file. A JSON file beside it names the holder, for people.
            clock: Returns seconds since the epoch.
        """
        self._path = path
        self._holder_file = path.with_suffix(".json")
        self._clock = clock
        self._descriptor: int | None = None
        self._process_id = 0
        self._lock = threading.Lock()

    def hold(self) -> bool:
        """Take the lease, or keep it. See `iraas.core.ports.ControllerLease.hold`."""
        with self._lock, os_errors_translated(self._path):
            if self._descriptor is not None:
                if self._process_id == os.getpid() and _is_at(self._path, self._descriptor):
                    return True
                self._drop()
            make_folder(self._path.parent)
            self._descriptor = try_lock(self._path)
            self._process_id = os.getpid()
            if self._descriptor is None:
                return False
            record = {"pid": os.getpid(), "host": socket.gethostname(), "since": self._clock()}
            sweep_drafts(self._holder_file.parent)
            write_atomic(self._holder_file, json.dumps(record).encode())
            return True

    def release(self) -> None:
        """Release the lease if this process holds it. Idempotent."""
        with self._lock, os_errors_translated(self._path):
            if self._descriptor is not None and self._process_id == os.getpid():
                self._holder_file.unlink(missing_ok=True)
            self._drop()

    def holder(self) -> str:
        """The holder of the lease, for people; empty if it is free."""
        with os_errors_translated(self._path):
            if not is_locked(self._path):
                return ""
            pid, host = self._read_holder()
        return f"process {pid} on {host}" if pid else "an unknown process"

    def how_to_end(self) -> str:
        """Instructions for ending the holder of the lease, for people."""
        with os_errors_translated(self._path):
            pid, host = self._read_holder()
        if not pid:
            return "Ctrl-C in its terminal"
        elsewhere = "" if host == socket.gethostname()[:64] else f" on {host}"
        return f"Ctrl-C in its terminal or kill {pid}{elsewhere}"

    def _read_holder(self) -> tuple[int, str]:
        """The process id and the host of the holder; 0 if they are not known."""
        try:
            record = json.loads(self._holder_file.read_bytes())
            return int(record["pid"]), str(record["host"])[:64]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0, ""

    def _drop(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
