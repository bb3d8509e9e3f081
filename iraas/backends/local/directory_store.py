"""An object store in folders that a person can read: an object is a file of its key's name.

What is stored is written to a nameless file first, synced, and only then given its name, so that a
killed writer leaves nothing behind and a reader never sees half an object. Where nameless files
cannot be had (they are Linux's own), drafts lie in a folder that no key can name.
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
"""The folder, under the root, of drafts that need a name."""
_DRAFT_LIFE_S = 3600.0
_OPEN_DRAFTS = 32
_NAMELESS = getattr(os, "O_TMPFILE", 0)
_NOT_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
_PROC = "/proc/self/fd"

_Entry = tuple[int, str]
"""An object's place in a batch, and its name in its folder."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A written file that has no key yet: its open descriptor, and a path that leads to it."""

    descriptor: int
    path: str
    named: bool

    def discard(self) -> None:
        os.close(self.descriptor)
        if self.named:
            Path(self.path).unlink(missing_ok=True)


class DirectoryStore:
    """The `ObjectStore` port on a directory. Threads, processes and forks may share it.

    The directory is made when something is first stored. Objects are synced to the disk, and so
    are the folders that list them, before a method returns.

    Two keys of which one is a folder of the other (``a`` and ``a/b``) cannot both be stored, nor a
    key with a segment longer than the filesystem's names (255 bytes): BackendError.
    """

    def __init__(
        self,
        root: Path,
        *,
        nameless_files: bool = True,
        on_change: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Name the directory; nothing is touched yet.

        Args:
            root: The directory. It may be a link; links inside it are not followed.
            nameless_files: False to do without them even where they can be had.
            on_change: Told of how many bytes more its files take on the disk, or fewer, after each
                change.
        """
        self.root = root
        self._tree = DirectoryTree(root)
        self._nameless = bool(_NAMELESS) and nameless_files and Path(_PROC).is_dir()
        self._swept_at = float("-inf")
        self._on_change = on_change

    def put(self, key: str, data: bytes) -> None:
        """Store an object, replacing what is there. See `iraas.core.ports.ObjectStore.put`."""
        folder, _, name = check_key(key).rpartition("/")

        def replace(there: int) -> None:
            before = size_of(name, there)
            os.replace(draft.path, name, dst_dir_fd=there)
            self._on_change(allocated(len(data)) - allocated(before))
            self._tree.sync(folder, there)

        with os_errors_translated(self.root / key):
            draft = self._draft(data, named=True)
            try:
                os.fsync(draft.descriptor)
                self._tree.inside(folder, replace)
            finally:
                draft.discard()

    def put_if_absent(self, objects: Sequence[tuple[str, bytes]]) -> list[bool]:
        """Store what is not there. See `iraas.core.ports.ObjectStore.put_if_absent`."""
        for key, _ in objects:
            check_key(key)
        stored: list[bool] = []
        with os_errors_translated(self.root):
            for start in range(0, len(objects), _OPEN_DRAFTS):
                some = objects[start : start + _OPEN_DRAFTS]
                stored += self._put_some(some)
                done = zip(some, stored[start:], strict=True)
                self._on_change(sum(allocated(len(data)) for (_, data), new in done if new))
        return stored

    def _put_some(self, objects: Sequence[tuple[str, bytes]]) -> list[bool]:
        places = _places_by_folder(objects)
        drafts: dict[int, _Draft] = {}
        stored = [False] * len(objects)
        try:
            for folder, entries in places.items():
                for place in self._absent(folder, entries):
                    drafts[place] = self._draft(objects[place][1], named=False)
            _sync_together([draft.descriptor for draft in drafts.values()])
            for folder, entries in places.items():
                self._publish(folder, entries, drafts, stored)
            return stored
        finally:
            for draft in drafts.values():
                draft.discard()

    def _absent(self, folder: str, entries: Sequence[_Entry]) -> list[int]:
        """The places of those that are not there."""
        try:
            with self._tree.opened(folder) as there:
                return [place for place, name in entries if not is_plain_file(name, there)]
        except FileNotFoundError:
            return [place for place, _ in entries]

    def _publish(
        self,
        folder: str,
        entries: Sequence[_Entry],
        drafts: Mapping[int, _Draft],
        stored: list[bool],
    ) -> None:
        """Give the drafts of a folder their names, note which got theirs, and sync the folder."""

        def link_all(there: int) -> None:
            for place, name in entries:
                if place in drafts and not stored[place]:
                    stored[place] = _link(drafts[place], name, there)
            self._tree.sync(folder, there)

        self._tree.inside(folder, link_all)

    def get(self, key: str) -> bytes:
        """Read an object. See `iraas.core.ports.ObjectStore.get`."""
        folder, _, name = check_key(key).rpartition("/")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a named pipe must not stop us
        with os_errors_translated(self.root / key):
            try:
                with self._tree.opened(folder) as there:
                    descriptor = os.open(name, flags, dir_fd=there)
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

        Lists a folder at a time, as it is when its turn comes.
        """
        if prefix:
            if not prefix.endswith("/"):
                raise ValueError(f"prefix {prefix[:80]!r} does not end with /")
            check_key(prefix[:-1])
        return self._list(prefix[:-1], after)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, and the folders that are empty then."""
        for key in keys:
            check_key(key)
        with os_errors_translated(self.root):
            self._on_change(-sum(map(self._remove, keys)))
            for folder in {key.rpartition("/")[0] for key in keys}:
                self._tree.remove_empty(folder)

    def _remove(self, key: str) -> int:
        """Remove an object; gives back what it took on the disk."""
        folder, _, name = key.rpartition("/")
        try:
            with self._tree.opened(folder) as there:
                size_bytes = size_of(name, there)
                os.unlink(name, dir_fd=there)
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
        if self._nameless:
            try:
                descriptor = os.open(self.root, os.O_WRONLY | _NAMELESS, 0o600)
            except OSError as exc:
                if exc.errno not in _NOT_NAMELESS:
                    raise
                self._nameless = False
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
    """Remove what writers left there who were killed long ago."""
    oldest = time.time() - _DRAFT_LIFE_S
    for path in folder.glob("*"):
        try:
            if path.lstat().st_mtime < oldest:
                path.unlink()
        except OSError:
            continue  # another sweeper was quicker, or it is not ours


def _places_by_folder(objects: Sequence[tuple[str, bytes]]) -> dict[str, list[_Entry]]:
    places: dict[str, list[_Entry]] = {}
    for place, (key, _) in enumerate(objects):
        folder, _, name = key.rpartition("/")
        places.setdefault(folder, []).append((place, name))
    return places


def _sync_together(descriptors: Sequence[int]) -> None:
    """Sync files in fewer turns of the disk than one each: all are on their way before the first
    is waited for, and one commit of the file system's journal then serves them all.
    """
    if len(descriptors) > 1 and hasattr(os, "posix_fadvise"):
        for descriptor in descriptors:
            # That the pages are not needed has Linux write them out without waiting for it.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    for descriptor in descriptors:
        os.fsync(descriptor)


def _link(draft: _Draft, name: str, there: int) -> bool:
    """Give a draft its name unless somebody has it; the system lets exactly one have it."""
    try:
        # With descriptors and follow_symlinks this is linkat(AT_SYMLINK_FOLLOW), which alone can
        # name a nameless file by its path in /proc.
        os.link(draft.path, name, src_dir_fd=there, dst_dir_fd=there, follow_symlinks=True)
    except FileExistsError:
        return not is_plain_file(name, there) and _link(draft, name, there)
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
