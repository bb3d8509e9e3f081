"""The response queues: a folder each, which comes and goes as a whole, with a queue in it."""

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

_LIFE_SIGN_EVERY_S = 10.0
_GONE = ".gone-"


class ResponseQueue(SqliteQueue):
    """A response queue as its requester uses it: whoever receives shows life."""

    def __init__(self, folder: Path, *, max_body_bytes: int, clock: Callable[[], float]) -> None:
        """Name the queue. Its file is never made here: `ResponseQueues.create` does that."""
        super().__init__(
            _file(folder),
            create=False,
            durable=False,
            max_body_bytes=max_body_bytes,
            clock=clock,
        )
        self._life_sign = _life_sign(folder)
        self._time = clock
        self._shown_at = -_LIFE_SIGN_EVERY_S

    def receive(
        self, max_messages: int, *, lease_s: float, wait_s: float = 0.0
    ) -> list[ReceivedMessage]:
        """Receive, and show life at most every 10 seconds. See `iraas.core.ports.Queue.receive`."""
        now = self._time()
        if abs(now - self._shown_at) >= _LIFE_SIGN_EVERY_S:
            self._shown_at = now
            _show_life(self._life_sign, now)
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
            root: The folder that holds a folder per requester.
            max_body_bytes: The longest body of a reply, in bytes of UTF-8.
            clock: Tells the time in seconds since the epoch; the same for all who share the folder.
        """
        self._root = root
        self._max_body_bytes = max_body_bytes
        self._clock = clock

    def create(self, requester_id: str) -> ResponseQueue:
        """Make a requester's queue, or find it. See `iraas.core.ports.ResponseQueues.create`."""
        folder = self._folder(requester_id)
        with os_errors_translated(folder):
            make_folder(folder)
            _life_sign(folder).touch(mode=0o600)
        _show_life(_life_sign(folder), self._clock())
        maker = SqliteQueue(_file(folder), durable=False)
        maker.make()
        maker.close()
        return ResponseQueue(folder, max_body_bytes=self._max_body_bytes, clock=self._clock)

    def find(self, requester_id: str) -> SqliteQueue:
        """The queue of a requester, made by nobody but it."""
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
        """Remove queues nobody received from for so long. Gives back whose they were."""
        swept = []
        with os_errors_translated(self._root):
            for folder in sorted(self._root.glob("*")) if self._root.is_dir() else ():
                if folder.name.startswith(_GONE):
                    shutil.rmtree(folder, ignore_errors=True)
                elif is_plain_name(folder.name) and self._clock() - _shown(folder) >= ttl_s:
                    self._remove(folder)
                    swept.append(folder.name)
        return swept

    def requesters(self) -> list[str]:
        """Whose queues there are, sorted."""
        with os_errors_translated(self._root):
            folders = self._root.glob("*")
            return sorted(one.name for one in folders if is_plain_name(one.name) and one.is_dir())

    def _remove(self, folder: Path) -> None:
        """Take a queue out of sight in one step, then remove it."""
        gone = self._root / f"{_GONE}{secrets.token_hex(8)}"
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


def _life_sign(folder: Path) -> Path:
    return folder / "life-sign"


def _show_life(path: Path, now: float) -> None:
    try:
        os.utime(path, (now, now))
    except FileNotFoundError:
        return  # the queue was removed, which the next call on it reports


def _shown(folder: Path) -> float:
    """When a requester last showed life; its folder's age counts until it first did."""
    try:
        return _life_sign(folder).stat().st_mtime
    except FileNotFoundError:
        return folder.stat().st_mtime
