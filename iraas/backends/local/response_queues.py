"""The response queues: one folder each, with a queue in it, which is removed as a whole."""

import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from iraas.backends.local.durable_files import make_folder, os_errors_translated
from iraas.backends.local.sqlite_queue import MAX_BODY_BYTES, SqliteQueue
from iraas.core.ids import is_plain_name
from iraas.core.ports import ReceivedMessage

_HEARTBEAT_INTERVAL_S = 10.0
_REMOVED_PREFIX = ".gone-"


class ResponseQueue(SqliteQueue):
    """A response queue as its requester uses it: receiving records that it is alive."""

    def __init__(self, folder: Path, *, max_body_bytes: int, clock: Callable[[], float]) -> None:
        """Name the queue; its file is never made here, but by `SqliteResponseQueues.create`."""
        super().__init__(
            _file(folder),
            create=False,
            durable=False,
            max_body_bytes=max_body_bytes,
            clock=clock,
        )
        self._heartbeat_file = _heartbeat_file(folder)
        self._touched_at = -_HEARTBEAT_INTERVAL_S

    def receive(
        self, max_messages: int, *, lease_s: float, wait_s: float = 0.0
    ) -> list[ReceivedMessage]:
        """Receive, and record it at most every 10 seconds. See `iraas.core.ports.Queue.receive`."""
        now = self._clock()
        if abs(now - self._touched_at) >= _HEARTBEAT_INTERVAL_S:
            self._touched_at = now
            _touch(self._heartbeat_file, now)
        return super().receive(max_messages, lease_s=lease_s, wait_s=wait_s)


class SqliteResponseQueues:
    """The `ResponseQueues` port on a folder of folders. Threads and processes may share it."""

    def __init__(
        self,
        root: Path,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Name the folder; nothing is touched yet.

        Args:
            root: The folder with one folder per requester.
            max_body_bytes: The longest body of a reply, in bytes of UTF-8.
            clock: Returns seconds since the epoch; the same for all users of the folder.
        """
        self._root = root
        self._max_body_bytes = max_body_bytes
        self._clock = clock

    def create(self, requester_id: str) -> ResponseQueue:
        """Make a requester's queue if missing. See `iraas.core.ports.ResponseQueues.create`."""
        folder = self._folder(requester_id)
        with os_errors_translated(folder):
            make_folder(folder)
            _heartbeat_file(folder).touch(mode=0o600)
        _touch(_heartbeat_file(folder), self._clock())
        maker = SqliteQueue(_file(folder), durable=False)
        maker.make()
        maker.close()
        return ResponseQueue(folder, max_body_bytes=self._max_body_bytes, clock=self._clock)

    def find(self, requester_id: str) -> SqliteQueue:
        """The queue of a requester; its methods raise QueueNotFoundError if there is none."""
        return SqliteQueue(
            _file(self._folder(requester_id)),
            create=False,
            durable=False,
            max_body_bytes=self._max_body_bytes,
            clock=self._clock,
        )

    def delete(self, requester_id: str) -> None:
        """Remove a requester's queue with all in it. Idempotent."""
        folder = self._folder(requester_id)
        with os_errors_translated(folder):
            self._remove(folder)

    def sweep(self, ttl_s: float) -> list[str]:
        """Remove the queues that were not received from for `ttl_s` seconds.

        Returns:
            Their requesters' ids.
        """
        swept = []
        with os_errors_translated(self._root):
            for folder in sorted(self._root.glob("*")) if self._root.is_dir() else ():
                if folder.name.startswith(_REMOVED_PREFIX):
                    shutil.rmtree(folder, ignore_errors=True)
                elif is_plain_name(folder.name) and self._clock() - _last_receive(folder) >= ttl_s:
                    self._remove(folder)
                    swept.append(folder.name)
        return swept

    def requesters(self) -> list[str]:
        """The ids of the requesters that have a queue, sorted."""
        with os_errors_translated(self._root):
            folders = self._root.glob("*")
            names = (path.name for path in folders if path.is_dir())
            return sorted(name for name in names if is_plain_name(name))

    def _remove(self, folder: Path) -> None:
        """Rename a queue's folder, which is atomic, then remove it."""
        gone = self._root / f"{_REMOVED_PREFIX}{secrets.token_hex(8)}"
        try:
            folder.rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone, ignore_errors=True)  # the next sweep removes what is left

    def _folder(self, requester_id: str) -> Path:
        if not is_plain_name(requester_id):
            raise ValueError(f"{requester_id[:80]!r} is not a requester's id")
        return self._root / requester_id


def _file(folder: Path) -> Path:
    return folder / "replies.db"


def _heartbeat_file(folder: Path) -> Path:
    return folder / "life-sign"


def _touch(path: Path, now: float) -> None:
    try:
        os.utime(path, (now, now))
    except FileNotFoundError:
        return  # the queue was removed, which the next call on it reports


def _last_receive(folder: Path) -> float:
    """The time of a requester's last receive, or of its folder if there was none."""
    try:
        return _heartbeat_file(folder).stat().st_mtime
    except FileNotFoundError:
        return folder.stat().st_mtime
