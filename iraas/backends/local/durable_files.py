"""File helpers of the local adapters: durable folders, atomic writes, translated errors."""

import errno
import os
import re
import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from iraas.errors import BackendError, BackendUnavailableError, IraasError, PermissionDeniedError

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_PERMISSION = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_DRAFT = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{8}")
_DRAFT_LIFETIME_S = 3600.0
_TRANSIENT = frozenset({errno.EMFILE, errno.ENFILE, errno.EINTR, errno.EAGAIN, errno.EBUSY})


def translate_os_error(exc: OSError, path: str) -> IraasError:
    """Translate an error of the operating system to one with a remedy.

    Args:
        exc: The error.
        path: The path that it is about.
    """
    message = f"{path}: {exc.strerror or exc}"
    if exc.errno in _NO_SPACE:
        remedy = "Free some space on that disk, then try again."
        return BackendUnavailableError(message, remedy=remedy)
    if exc.errno in _NO_PERMISSION:
        remedy = "Allow yourself to write there, or choose another folder with --home."
        return PermissionDeniedError(message, remedy=remedy)
    if exc.errno in _TRANSIENT:
        return BackendUnavailableError(message, remedy="Try again in a moment.")
    return BackendError(message, remedy="Check that path, or choose another folder with --home.")


@contextmanager
def os_errors_translated(path: Path) -> Iterator[None]:
    """Translate the OSErrors of a block.

    Args:
        path: The path for errors that name none.

    Raises:
        BackendUnavailableError: The disk is full, or a resource is temporarily exhausted.
        PermissionDeniedError: The system denies access.
        BackendError: Any other error of the system.
    """
    try:
        yield
    except OSError as exc:
        raise translate_os_error(exc, str(exc.filename or path)) from exc


def fsync_dir(folder: Path) -> None:
    """Make a folder's entries survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, for this user alone, and sync them to the disk.

    Idempotent; safe for concurrent processes.

    Raises:
        OSError: As the system reports it.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
    fsync_dir(folder.parent)


def sweep_drafts(folder: Path) -> None:
    """Remove the drafts in a folder that killed calls of `write_atomic` left long ago."""
    oldest = time.time() - _DRAFT_LIFETIME_S
    for path in folder.glob(".*"):
        with suppress(OSError):  # removed by another process, or not ours
            if _DRAFT.fullmatch(path.name) and path.lstat().st_mtime < oldest:
                path.unlink()


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a small file atomically, without syncing it: readers see the old or the new one.

    Args:
        path: The file.
        data: Its new content.

    Raises:
        OSError: As the system reports it.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def unmanaged_files(
    folder: Path, ours: Mapping[str, re.Pattern[str]], skipped: Collection[Path]
) -> Iterator[Path]:
    """The files and links below a folder whose names are none of ours.

    Args:
        folder: The folder; it may be missing.
        ours: The pattern of our file names for each folder, by its path relative to `folder`.
        skipped: Folders that are not searched.
    """
    for path, folders, names in os.walk(folder):
        here = Path(path)
        relative = here.relative_to(folder).as_posix()
        pattern = ours.get("" if relative == "." else relative)
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = [name for name in folders if here / name not in skipped]
        for name in sorted([*names, *links]):
            if pattern is None or not pattern.fullmatch(name):
                yield here / name
