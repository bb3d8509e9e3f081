"""The controller's lease as a lock on a file: the system frees it when its holder dies."""

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

_LOOKS = 4
_LOOK_PAUSE_S = 0.002


def try_lock(path: Path) -> int | None:
    """Take the exclusive lock of a file, which is made when missing; None if it is taken.

    Gives back the open descriptor that holds the lock. It is inherited by nobody unless it is
    passed on; the lock is free once all copies of it are closed.

    Raises:
        OSError: As the system reports it.
    """
    for look in range(_LOOKS):
        if look:  # what is in the way may be a mere look by `is_locked`, which is over at once
            time.sleep(_LOOK_PAUSE_S)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):  # else its file was removed between the two calls
                return descriptor
        except BlockingIOError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return None


def is_locked(path: Path) -> bool:
    """Tell whether somebody has the exclusive lock of a file.

    Raises:
        OSError: As the system reports it, unless the file is missing.
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
    """The `ControllerLease` port on a lock file. Threads may share an object; a fork drops it."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Name the lock file; nothing is touched yet.

        Args:
            path: The lock file. A JSON file beside it says who holds the lock, for people.
            clock: Tells the time in seconds since the epoch.
        """
        self._path = path
        self._note = path.with_suffix(".json")
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
            said = {"pid": os.getpid(), "host": socket.gethostname(), "since": self._clock()}
            sweep_drafts(self._note.parent)
            write_atomic(self._note, json.dumps(said).encode())
            return True

    def release(self) -> None:
        """Let somebody else have it. Idempotent."""
        with self._lock, os_errors_translated(self._path):
            if self._descriptor is not None and self._process_id == os.getpid():
                self._note.unlink(missing_ok=True)
            self._drop()

    def holder(self) -> str:
        """Who holds the lease, for people; empty if nobody does."""
        with os_errors_translated(self._path):
            if not is_locked(self._path):
                return ""
            pid, host = self._said()
        return f"process {pid} on {host}" if pid else "a process that did not say its name"

    def how_to_end(self) -> str:
        """How a person ends whoever holds the lease."""
        with os_errors_translated(self._path):
            pid, host = self._said()
        if not pid:
            return "Ctrl-C in its terminal"
        elsewhere = "" if host == socket.gethostname()[:64] else f" on {host}"
        return f"Ctrl-C in its terminal or kill {pid}{elsewhere}"

    def _said(self) -> tuple[int, str]:
        """The process and the host that the note names; 0 if it names none."""
        try:
            said = json.loads(self._note.read_bytes())
            return int(said["pid"]), str(said["host"])[:64]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0, ""

    def _drop(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
