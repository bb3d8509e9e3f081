"""What the local adapters share about files: durable folders, whole writes, errors for people."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iraas.errors import BackendError, BackendUnavailableError, IraasError, PermissionDeniedError

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FOR_NOW = frozenset({errno.EMFILE, errno.ENFILE, errno.EINTR, errno.EAGAIN, errno.EBUSY})


def translate_os_error(exc: OSError, place: str) -> IraasError:
    """Make an error for a person of an operating system's error."""
    said = f"{place}: {exc.strerror or exc}"
    if exc.errno in _NO_SPACE:
        remedy = "Free some space on that disk, then try again."
        return BackendUnavailableError(said, remedy=remedy)
    if exc.errno in _NOT_ALLOWED:
        remedy = "Give yourself the right to write there, or choose another place with --home."
        return PermissionDeniedError(said, remedy=remedy)
    if exc.errno in _FOR_NOW:
        return BackendUnavailableError(said, remedy="Try again in a moment.")
    return BackendError(said, remedy="Look at that path, or choose another place with --home.")


@contextmanager
def os_errors_translated(place: Path) -> Iterator[None]:
    """Run a block whose OSErrors become iraas's errors.

    Raises:
        BackendUnavailableError: The disk is full, or the system is short of something for now.
        PermissionDeniedError: The system says no.
        BackendError: Anything else that the system reports.
    """
    try:
        yield
    except OSError as exc:
        raise translate_os_error(exc, str(exc.filename or place)) from exc


def sync_folder(folder: Path) -> None:
    """Make a folder's entries survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, for this user alone, so that they survive a power cut.

    Idempotent; safe against others who do the same.

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
    sync_folder(folder.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Replace a small file in one step, without syncing it: readers see the old or the new one.

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
