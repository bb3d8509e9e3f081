"""What the local adapters share about files: durable folders, whole writes, errors for people."""

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
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_DRAFT = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{8}")
_DRAFT_LIFE_S = 3600.0
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


def fsync_dir(folder: Path) -> None:
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
    fsync_dir(folder.parent)


def sweep_drafts(folder: Path) -> None:
    """Remove what `write_atomic` left in a folder whose process was killed long ago."""
    oldest = time.time() - _DRAFT_LIFE_S
    for path in folder.glob(".*"):
        with suppress(OSError):  # another sweeper was quicker, or it is not ours
            if _DRAFT.fullmatch(path.name) and path.lstat().st_mtime < oldest:
                path.unlink()


def write_atomic(path: Path, data: bytes) -> None:
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


def foreign_files(
    folder: Path, ours: Mapping[str, re.Pattern[str]], skipped: Collection[Path]
) -> Iterator[Path]:
    """The files and links below a folder that bear no name of ours.

    Args:
        folder: Where to look; nothing is found where it is missing.
        ours: What our files are called, by the folder they lie in, as seen from `folder`.
        skipped: Folders that are not looked into.
    """
    for place, folders, names in os.walk(folder):
        here = Path(place)
        within = here.relative_to(folder).as_posix()
        pattern = ours.get("" if within == "." else within)
        links = [one for one in folders if (here / one).is_symlink()]
        folders[:] = [one for one in folders if here / one not in skipped]
        for name in sorted([*names, *links]):
            if pattern is None or not pattern.fullmatch(name):
                yield here / name
