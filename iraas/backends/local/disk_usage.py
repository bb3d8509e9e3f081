"""The disk space of a deployment's images, and the free space.

A file beside the input store holds the count. Every process that stores or removes an image updates
it under the file's lock, so that all processes share it and no request has to walk a folder. The
count may drift: it is not synced, a process may be killed between an image and its count, and the
wait for a lock is limited. `recount` corrects it.
"""

import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from iraas.backends.local.durable_files import os_errors_translated
from iraas.core.ports import StorageUsage

LOCK_TIMEOUT_S = 1.0
_PAUSE_S = 0.001
_BLOCK_BYTES = 4096
_MIN_FREE_FILES = 1000
"""Free inodes below which a disk counts as full."""
_COUNT = struct.Struct("<qq")
_UNCOUNTED = (0, 0)


def allocated(size_bytes: int) -> int:
    """The disk space of a file of a size, in bytes: whole blocks."""
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


class UsageCounter:
    """A count of bytes in a file. Threads, processes and forks may share it.

    The file holds the bytes and the number of full counts. The latter is 0 until the first full
    count has finished; the bytes are then those added since it began.

    Args:
        path: The file. Only `recount` makes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, size_bytes: int) -> None:
        """Add bytes to the count.

        Does nothing before the first `recount`, or if the lock is taken for `LOCK_TIMEOUT_S`.

        Args:
            size_bytes: The bytes; negative for removed ones.

        Raises:
            OSError: As the system reports it.
        """
        if size_bytes:
            with self._locked(os.O_RDWR) as descriptor:
                if descriptor is not None:
                    count, generation = _read(descriptor)
                    _write(descriptor, count + size_bytes, generation)

    def read(self) -> int | None:
        """The count in bytes; None if there was no full count yet."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            count, generation = _read(descriptor)
        finally:
            os.close(descriptor)
        return max(0, count) if generation else None

    def recount(self, measure: Callable[[], int]) -> None:
        """Count from scratch while others may add. Of two concurrent counts the first one wins.

        Args:
            measure: Measures the present bytes; may take long.

        Raises:
            OSError: As the system reports it.
        """
        with self._locked(os.O_RDWR | os.O_CREAT) as descriptor:
            if descriptor is None:
                return
            before, generation = _read(descriptor)
            _write(descriptor, before, generation)
        found = measure()
        with self._locked(os.O_RDWR) as descriptor:
            if descriptor is None:
                return
            after, now = _read(descriptor)
            if now == generation:
                _write(descriptor, found + after - before, generation + 1)

    @contextmanager
    def _locked(self, flags: int) -> Iterator[int | None]:
        try:
            descriptor = os.open(self.path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            yield None
            return
        try:
            yield descriptor if _lock(descriptor) else None
        finally:
            os.close(descriptor)


class LocalStorage:
    """The `Storage` port on a disk.

    Args:
        folder: The deployment's folder; it may be missing.
        counter: The count of the input store, which updates it.
        measure: Measures the bytes of the input store by walking it.
        queues: The database files of the queues, which may hold images.
    """

    def __init__(
        self,
        folder: Path,
        counter: UsageCounter,
        measure: Callable[[], int],
        queues: tuple[Path, ...],
    ) -> None:
        self._folder = folder
        self._counter = counter
        self._measure = measure
        self._queues = queues

    def usage(self) -> StorageUsage:
        """The used and the free space; counts from scratch if there was no full count yet."""
        with os_errors_translated(self._folder):
            disk = _file_system_of(self._folder)
            free = disk.f_bavail * disk.f_frsize
            if disk.f_files and disk.f_favail < _MIN_FREE_FILES:
                free = 0
            used = self._counted() + sum(map(_queue_bytes, self._queues))
            return StorageUsage(used, free, disk.f_blocks * disk.f_frsize)

    def recount(self) -> None:
        """Count from scratch. See `iraas.core.ports.Storage.recount`."""
        with os_errors_translated(self._folder):
            if self._folder.is_dir():
                self._counter.recount(self._measure)

    def _counted(self) -> int:
        count = self._counter.read()
        if count is None and self._folder.is_dir():
            self._counter.recount(self._measure)
            count = self._counter.read()
        return count or 0


def _lock(descriptor: int) -> bool:
    """Take a file's lock, which others hold for microseconds; False after `LOCK_TIMEOUT_S`."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_S)
        else:
            return True


def _read(descriptor: int) -> tuple[int, int]:
    data = os.pread(descriptor, _COUNT.size, 0)
    count, generation = _COUNT.unpack(data) if len(data) == _COUNT.size else _UNCOUNTED
    return count, generation


def _write(descriptor: int, count: int, generation: int) -> None:
    os.pwrite(descriptor, _COUNT.pack(count, generation), 0)


def _file_system_of(folder: Path) -> os.statvfs_result:
    """The file system of a folder, or of its nearest existing parent."""
    while True:
        try:
            return os.statvfs(folder)
        except (FileNotFoundError, NotADirectoryError):
            if folder == folder.parent:
                raise
            folder = folder.parent


def _queue_bytes(path: Path) -> int:
    total = 0
    for name in (path, path.with_name(f"{path.name}-wal")):
        try:
            total += name.stat().st_size
        except FileNotFoundError:
            continue  # not made yet, or removed by SQLite at its last close
    return total
