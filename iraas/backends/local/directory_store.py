"""An object store on a directory: an object is a file with the path of its key.

An object is written to an anonymous file first, synced, and then linked to its name, so that a
killed writer leaves nothing behind and a reader never sees a partial object. Without anonymous
files (a feature of Linux), drafts are written to a folder that no key can name.
"""

import errno
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from iraas.backends.local.directory_tree import (
    NOTHING_THERE,
    DirectoryTree,
    is_plain_file,
    size_of,
)
from iraas.backends.local.disk_usage import allocated
from iraas.backends.local.durable_files import make_folder, os_errors_translated
from iraas.core.keys import check_key
from iraas.core.ports import StoredObject
from iraas.errors import ObjectNotFoundError

DRAFTS = ".drafts"
"""The folder, under the root, of drafts with a name."""
_DRAFT_LIFE_S = 3600.0
_OPEN_DRAFTS = 32
_ANONYMOUS = getattr(os, "O_TMPFILE", 0)
_NOT_ANONYMOUS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
_PROC = "/proc/self/fd"

_Entry = tuple[int, str]
"""An object's index in a batch, and its name in its folder."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A written file without a key: its open descriptor, and a path to it."""

    descriptor: int
    path: str
    named: bool

    def discard(self) -> None:
        os.close(self.descriptor)
        if self.named:
            Path(self.path).unlink(missing_ok=True)


class DirectoryStore:
    """The `ObjectStore` port on a directory. Threads, processes and forks may share it.

    The first write makes the directory. Objects, and the folders that list them, are synced to the
    disk before a method returns.

    Two keys of which one is a folder of the other (``a`` and ``a/b``) cannot both be stored, nor a
    key with a segment over 255 bytes, the limit of file systems: BackendError.
    """

    def __init__(
        self,
        root: Path,
        *,
        anonymous_files: bool = True,
        on_change: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Name the directory; nothing is touched yet.

        Args:
            root: The directory. It may be a symbolic link; links inside it are not followed.
            anonymous_files: Whether to use anonymous files where the system has them.
            on_change: Called after each change with the difference in allocated bytes.
        """
        self.root = root
        self._tree = DirectoryTree(root)
        self._use_anonymous = bool(_ANONYMOUS) and anonymous_files and Path(_PROC).is_dir()
        self._swept_at = float("-inf")
        self._on_change = on_change

    def put(self, key: str, data: bytes) -> None:
        """Store an object, replacing an existing one. See `iraas.core.ports.ObjectStore.put`."""
        folder, _, name = check_key(key).rpartition("/")

        def replace(folder_fd: int) -> None:
            before = size_of(name, folder_fd)
            os.replace(draft.path, name, dst_dir_fd=folder_fd)
            self._on_change(allocated(len(data)) - allocated(before))
            self._tree.sync(folder, folder_fd)

        with os_errors_translated(self.root / key):
            draft = self._draft(data, named=True)
            try:
                os.fsync(draft.descriptor)
                self._tree.inside(folder, replace)
            finally:
                draft.discard()

    def put_if_absent(self, objects: Sequence[tuple[str, bytes]]) -> list[bool]:
        """Store the absent objects. See `iraas.core.ports.ObjectStore.put_if_absent`."""
        for key, _ in objects:
            check_key(key)
        stored: list[bool] = []
        with os_errors_translated(self.root):
            for start in range(0, len(objects), _OPEN_DRAFTS):
                batch = objects[start : start + _OPEN_DRAFTS]
                stored += self._put_batch(batch)
                done = zip(batch, stored[start:], strict=True)
                self._on_change(sum(allocated(len(data)) for (_, data), is_new in done if is_new))
        return stored

    def _put_batch(self, objects: Sequence[tuple[str, bytes]]) -> list[bool]:
        entries_of = _entries_by_folder(objects)
        drafts: dict[int, _Draft] = {}
        stored = [False] * len(objects)
        try:
            for folder, entries in entries_of.items():
                for index in self._absent(folder, entries):
                    drafts[index] = self._draft(objects[index][1], named=False)
            _sync_together([draft.descriptor for draft in drafts.values()])
            for folder, entries in entries_of.items():
                self._publish(folder, entries, drafts, stored)
            return stored
        finally:
            for draft in drafts.values():
                draft.discard()

    def _absent(self, folder: str, entries: Sequence[_Entry]) -> list[int]:
        """The indexes of the objects that are not stored."""
        try:
            with self._tree.opened(folder) as folder_fd:
                return [index for index, name in entries if not is_plain_file(name, folder_fd)]
        except FileNotFoundError:
            return [index for index, _ in entries]

    def _publish(
        self,
        folder: str,
        entries: Sequence[_Entry],
        drafts: Mapping[int, _Draft],
        stored: list[bool],
    ) -> None:
        """Link the drafts of a folder to their names, record the new ones, and sync the folder."""

        def link_all(folder_fd: int) -> None:
            for index, name in entries:
                if index in drafts and not stored[index]:
                    stored[index] = _link(drafts[index], name, folder_fd)
            self._tree.sync(folder, folder_fd)

        self._tree.inside(folder, link_all)

    def get(self, key: str) -> bytes:
        """Read an object. See `iraas.core.ports.ObjectStore.get`."""
        folder, _, name = check_key(key).rpartition("/")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # opening a named pipe must not block
        with os_errors_translated(self.root / key):
            try:
                with self._tree.opened(folder) as folder_fd:
                    descriptor = os.open(name, flags, dir_fd=folder_fd)
            except OSError as exc:
                if exc.errno not in NOTHING_THERE:
                    raise
                raise ObjectNotFoundError(f"{self.root} has nothing under {key}") from exc
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise ObjectNotFoundError(f"{self.root} has no plain file under {key}")
                return _read(descriptor)
            finally:
                os.close(descriptor)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """List objects by key. See `iraas.core.ports.ObjectStore.list`.

        Reads a folder at a time, when the iteration reaches it.
        """
        if prefix:
            if not prefix.endswith("/"):
                raise ValueError(f"prefix {prefix[:80]!r} does not end with /")
            check_key(prefix[:-1])
        return self._list(prefix[:-1], after)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, and the folders that become empty. Idempotent."""
        for key in keys:
            check_key(key)
        with os_errors_translated(self.root):
            self._on_change(-sum(map(self._remove, keys)))
            for folder in {key.rpartition("/")[0] for key in keys}:
                self._tree.remove_empty(folder)

    def _remove(self, key: str) -> int:
        """Remove an object; the bytes that were allocated for it."""
        folder, _, name = key.rpartition("/")
        try:
            with self._tree.opened(folder) as folder_fd:
                size_bytes = size_of(name, folder_fd)
                os.unlink(name, dir_fd=folder_fd)
        except OSError as exc:
            if exc.errno not in NOTHING_THERE | {errno.EISDIR}:
                raise
            return 0
        return allocated(size_bytes)

    def _list(self, folder: str, after: str) -> Iterator[StoredObject]:
        with os_errors_translated(self.root):
            yield from self._tree.walk(folder, after)

    def _draft(self, data: bytes, *, named: bool) -> _Draft:
        while True:
            try:
                draft = self._named_draft() if named else self._new_draft()
                break
            except FileNotFoundError:
                make_folder(self.root)
        try:
            _write(draft.descriptor, data)
        except BaseException:
            draft.discard()
            raise
        return draft

    def _new_draft(self) -> _Draft:
        if self._use_anonymous:
            try:
                descriptor = os.open(self.root, os.O_WRONLY | _ANONYMOUS, 0o600)
            except OSError as exc:
                if exc.errno not in _NOT_ANONYMOUS:
                    raise
                self._use_anonymous = False
            else:
                return _Draft(descriptor, f"{_PROC}/{descriptor}", named=False)
        return self._named_draft()

    def _named_draft(self) -> _Draft:
        folder = self.root / DRAFTS
        if time.monotonic() - self._swept_at > _DRAFT_LIFE_S:
            self._swept_at = time.monotonic()
            _sweep_drafts(folder)
        path = folder / secrets.token_hex(10)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            make_folder(folder)
            descriptor = os.open(path, flags, 0o600)
        return _Draft(descriptor, str(path), named=True)


def _sweep_drafts(folder: Path) -> None:
    """Remove the drafts of writers that were killed long ago."""
    oldest = time.time() - _DRAFT_LIFE_S
    for path in folder.glob("*"):
        try:
            if path.lstat().st_mtime < oldest:
                path.unlink()
        except OSError:
            continue  # removed by another process, or not ours


def _entries_by_folder(objects: Sequence[tuple[str, bytes]]) -> dict[str, list[_Entry]]:
    entries_of: dict[str, list[_Entry]] = {}
    for index, (key, _) in enumerate(objects):
        folder, _, name = key.rpartition("/")
        entries_of.setdefault(folder, []).append((index, name))
    return entries_of


def _sync_together(descriptors: Sequence[int]) -> None:
    """Sync files with fewer disk writes than one each: all writes are started before the first is
    waited for, and one commit of the file system's journal then covers them all.
    """
    if len(descriptors) > 1 and hasattr(os, "posix_fadvise"):
        for descriptor in descriptors:
            # This hint makes Linux start writing the pages, without waiting for the result.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    for descriptor in descriptors:
        os.fsync(descriptor)


def _link(draft: _Draft, name: str, folder_fd: int) -> bool:
    """Link a draft to its name unless the name exists; atomic. Whether it did."""
    try:
        # With descriptors and follow_symlinks this is linkat(AT_SYMLINK_FOLLOW), the only way to
        # link an anonymous file by its path in /proc.
        os.link(draft.path, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=True)
    except FileExistsError:
        return not is_plain_file(name, folder_fd) and _link(draft, name, folder_fd)
    return True


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _read(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    parts = []
    while part := os.read(descriptor, size + 1):
        parts.append(part)
    return b"".join(parts)
