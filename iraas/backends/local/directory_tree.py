"""A tree of folders, walked from its root a folder at a time: no symbolic link is followed.

Names that no store key can have (a dot first, a space …) are neither listed nor reached.
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
"""What the system says when a path leads nowhere that a store would go."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_ATTEMPTS = 100

Answer = TypeVar("Answer")


class DirectoryTree:
    """Folders under a root, named by relative paths with ``/``; the root's own name is empty.

    The root itself may be a link: its owner put it there.
    """

    def __init__(self, root: Path) -> None:
        """Name the root; nothing is touched yet."""
        self.root = root
        self._lasting: set[str] = set()

    @contextmanager
    def opened(self, folder: str) -> Iterator[int]:
        """Have a folder's descriptor.

        Raises:
            OSError: With one of `NOTHING_THERE` if there is no such folder.
        """
        descriptor = self._open(folder, make=False)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def inside(self, folder: str, act: Callable[[int], Answer]) -> Answer:
        """Act with a folder's descriptor; the folder is made, again if it is removed meanwhile.

        Raises:
            BackendUnavailableError: Somebody keeps removing it.
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
        raise BackendUnavailableError(f"{self.root / folder} is removed as often as it is made")

    def sync(self, folder: str, there: int) -> None:
        """Make what a folder lists survive a power cut, and the way that leads to it.

        Args:
            folder: The folder.
            there: Its descriptor.
        """
        os.fsync(there)
        if folder in self._lasting:
            return
        above = folder
        while above:
            above = above.rpartition("/")[0]
            with suppress(FileNotFoundError), self.opened(above) as higher:
                os.fsync(higher)
        fsync_dir(self.root.parent)
        self._lasting.add(folder)

    def remove_empty(self, folder: str) -> None:
        """Remove a folder and those above it, up to the root, as far as they are empty."""
        while folder:
            above, _, name = folder.rpartition("/")
            try:
                with self.opened(above) as there:
                    os.rmdir(name, dir_fd=there)
            except OSError:
                return
            folder = above

    def walk(self, folder: str, after: str) -> Iterator[StoredObject]:
        """The plain files under a folder by relative path, sorted, those after a path only.

        Reads a folder at a time; holds no descriptor while its user works.
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
        """A folder's files with their facts, and its folders with None, in the order of keys."""
        entries: list[tuple[str, os.stat_result | None]] = []
        try:
            with self.opened(folder) as there, os.scandir(there) as scan:
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


def is_plain_file(name: str, there: int) -> bool:
    """Tell whether a plain file of that name lies in the folder of a descriptor.

    Raises:
        BackendError: Something else lies there: a folder, a link, a device.
    """
    try:
        found = os.stat(name, dir_fd=there, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise BackendError(f"{name!r} is in the way of an object and is no plain file")
    return True


def size_of(name: str, there: int) -> int:
    """The bytes of a file in the folder of a descriptor; 0 if there is none."""
    try:
        return os.stat(name, dir_fd=there, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def _is_segment(name: str) -> bool:
    try:
        check_key(name)
    except ValueError:
        return False
    return True
