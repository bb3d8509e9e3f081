"""A tree of folders that is opened from its root, folder by folder, without following links.

Names that no store key can have (a leading dot, a space …) are neither listed nor accessible.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from iraas.backends.local.durable_files import fsync_dir, make_folder
from iraas.core.keys import check_key
from iraas.core.ports import StoredObject
from iraas.errors import BackendError, BackendUnavailableError

NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""Errors of the system for a path that is not a file or a folder of a store."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_ATTEMPTS = 100

Answer = TypeVar("Answer")


class DirectoryTree:
    """Folders under a root, named by relative paths with ``/``; the root's own path is empty.

    The root itself may be a symbolic link. Thread-safe.
    """

    def __init__(self, root: Path) -> None:
        """Name the root; nothing is touched yet."""
        self.root = root
        self._synced: set[str] = set()

    @contextmanager
    def opened(self, folder: str) -> Iterator[int]:
        """Open a folder; yields its descriptor.

        Raises:
            OSError: With an errno of `NOTHING_THERE` if there is no such folder.
        """
        descriptor = self._open(folder, make=False)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def inside(self, folder: str, act: Callable[[int], Answer]) -> Answer:
        """Call a function with a folder's descriptor; makes the folder if it is missing.

        Args:
            folder: The folder.
            act: The function. It is called again if the folder is removed meanwhile.

        Returns:
            The result of the function.

        Raises:
            BackendUnavailableError: Another process keeps removing the folder.
            OSError: As the system reports it.
        """
        for _ in range(_ATTEMPTS):
            try:
                descriptor = self._open(folder, make=True)
                try:
                    return act(descriptor)
                finally:
                    os.close(descriptor)
            except FileNotFoundError:
                continue
        raise BackendUnavailableError(f"{self.root / folder} is removed whenever it is made")

    def sync(self, folder: str, folder_fd: int) -> None:
        """Make a folder's entries, and the path to it, survive a power cut.

        Args:
            folder: The folder.
            folder_fd: Its descriptor.
        """
        os.fsync(folder_fd)
        if folder in self._synced:
            return
        above = folder
        while above:
            above = above.rpartition("/")[0]
            with suppress(FileNotFoundError), self.opened(above) as higher:
                os.fsync(higher)
        fsync_dir(self.root.parent)
        self._synced.add(folder)

    def remove_empty(self, folder: str) -> None:
        """Remove a folder and its parents, up to the root, as long as they are empty."""
        while folder:
            above, _, name = folder.rpartition("/")
            try:
                with self.opened(above) as folder_fd:
                    os.rmdir(name, dir_fd=folder_fd)
            except OSError:
                return
            folder = above

    def walk(self, folder: str, after: str) -> Iterator[StoredObject]:
        """Iterate over the plain files under a folder, sorted by relative path.

        Reads a folder at a time; no descriptor is open while the caller holds an item.

        Args:
            folder: The folder.
            after: Only paths after this one are listed.
        """
        for name, found in self._scan(folder):
            path = f"{folder}/{name}" if folder else name
            if found is None:
                below = path + "/"
                if below > after or after.startswith(below):
                    yield from self.walk(path, after)
            elif path > after:
                yield StoredObject(path, found.st_size, found.st_mtime)

    def _scan(self, folder: str) -> list[tuple[str, os.stat_result | None]]:
        """A folder's files with their stat results, its folders with None, in the order of keys."""
        entries: list[tuple[str, os.stat_result | None]] = []
        try:
            with self.opened(folder) as folder_fd, os.scandir(folder_fd) as scan:
                for entry in scan:
                    if not _is_segment(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        entries.append((entry.name, None))
                    elif entry.is_file(follow_symlinks=False):
                        try:
                            entries.append((entry.name, entry.stat(follow_symlinks=False)))
                        except FileNotFoundError:
                            continue
        except OSError as exc:
            if exc.errno in NOTHING_THERE:
                return []
            raise
        entries.sort(key=lambda entry: entry[0] + "/" if entry[1] is None else entry[0])
        return entries

    def _open(self, folder: str, *, make: bool) -> int:
        try:
            descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            if not make:
                raise
            make_folder(self.root)
            descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        for name in folder.split("/") if folder else ():
            above = descriptor
            try:
                descriptor = self._enter(above, name, make=make)
            finally:
                os.close(above)
        return descriptor

    def _enter(self, above: int, name: str, *, make: bool) -> int:
        try:
            return os.open(name, _FOLDER, dir_fd=above)
        except FileNotFoundError:
            if not make:
                raise
        try:
            os.mkdir(name, 0o700, dir_fd=above)
        except FileExistsError:
            pass
        else:
            os.fsync(above)
        return os.open(name, _FOLDER, dir_fd=above)


def is_plain_file(name: str, folder_fd: int) -> bool:
    """Whether a folder contains a plain file of that name.

    Args:
        name: The name.
        folder_fd: The folder's descriptor.

    Raises:
        BackendError: The name belongs to something else: a folder, a link, a device.
    """
    try:
        found = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise BackendError(
            f"{name!r} is not a plain file, so no object can be stored under that name"
        )
    return True


def size_of(name: str, folder_fd: int) -> int:
    """The size of a file in the folder of a descriptor, in bytes; 0 if it is missing."""
    try:
        return os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def _is_segment(name: str) -> bool:
    try:
        check_key(name)
    except ValueError:
        return False
    return True
