"""What a deployment's images take on the disk, and how much is free there.

The count lies in a file of its own beside the input store. Whoever stores or removes an image adds
to it under the file's lock, so that all processes share it and no request has to walk a folder. It
is not synced, a process may be killed between an image and its count, and nobody waits for long for
a lock whose holder was stopped: `recount` mends all that.
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

LOCK_S = 1.0
_PAUSE_S = 0.001
_BLOCK_BYTES = 4096
_FEW_FILES = 1000
"""Files that a disk must still be able to hold; with fewer it counts as full."""
_COUNT = struct.Struct("<qq")
_UNCOUNTED = (0, 0)


def allocated(size_bytes: int) -> int:
    """What a file of a size takes on a usual disk: whole blocks."""
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


class UsageCounter:
    """A count of bytes in a file. Threads, processes and forks may share it.

    The file holds the bytes, and how often they were counted from scratch; 0 means never, and that
    the bytes are only what was added since somebody began to count.

    Args:
        path: The file. It is made by `recount` alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, size_bytes: int) -> None:
        """Count more bytes, or fewer; nothing happens before the first `recount`, nor if somebody
        has held the lock for `LOCK_S` seconds.

        Raises:
            OSError: As the system reports it.
        """
        if size_bytes:
            with self._locked(os.O_RDWR) as descriptor:
                if descriptor is not None:
                    count, generation = _read(descriptor)
                    _write(descriptor, count + size_bytes, generation)

    def read(self) -> int | None:
        """The bytes; None if they were never counted."""
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
        """Count from scratch what others may be adding to. Of two who do so, the first one wins.

        Args:
            measure: Gives the bytes that are there now; may take long.

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
        folder: The deployment's folder, there or not.
        counter: The count of the input store, which adds to it.
        measure: Gives the bytes in the input store by walking it.
        queues: The files of the queues that hold images.
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
        """What is used and free; counts from scratch if nobody ever did."""
        with os_errors_translated(self._folder):
            disk = _disk_of(self._folder)
            free = disk.f_bavail * disk.f_frsize
            if disk.f_files and disk.f_favail < _FEW_FILES:
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
    """Take a file's lock, which others hold for microseconds; False if it cannot be had."""
    deadline = time.monotonic() + LOCK_S
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


def _disk_of(folder: Path) -> os.statvfs_result:
    """The disk where a folder is, or would be."""
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
            continue  # not made yet, or closed by its last user
    return total
