"""Reading files that somebody else may have put there: regular ones only, and never without bound.

A name may lead to a named pipe, a device, a socket or a folder. Opening a pipe waits for whoever
writes to it, and a device may give bytes for ever.
"""

import errno
import os
import stat
from io import FileIO
from pathlib import Path


class IrregularFileError(OSError):
    """A path leads to a pipe, a device or the like."""


def open_regular(path: str | Path, *, follow_links: bool = True) -> FileIO:
    """Open a regular file for reading, unbuffered; never waits for a writer.

    What was opened is looked at, not what lay at the path a moment earlier.

    Args:
        path: The file.
        follow_links: Whether the last part of the path may be a symbolic link.

    Raises:
        IrregularFileError: It is no regular file.
        OSError: It is not there, cannot be read, or is a link that is not to be followed.
        ValueError: The path has a null character.
    """
    extra = os.O_NONBLOCK | os.O_NOCTTY | (0 if follow_links else os.O_NOFOLLOW)
    file = FileIO(os.fspath(path), "r", opener=lambda name, flags: os.open(name, flags | extra))
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise IrregularFileError(errno.EINVAL, "it is not a regular file", str(path))


def is_below(path: str, folder: str) -> bool:
    """Whether a path is below a folder; neither has links in it."""
    return os.path.commonpath([path, folder]) == folder and path != folder


def check_below(file: FileIO, path: str, folder: str) -> None:
    """See to it that the file that was opened at a path is one of a folder, whatever links say now.

    Args:
        file: The open file.
        path: The path at which it was opened.
        folder: The folder, without links in its path.

    Raises:
        OSError: It is not.
    """
    real = os.path.realpath(path)
    if not is_below(real, folder) or not os.path.samestat(os.fstat(file.fileno()), os.lstat(real)):
        raise OSError(errno.ELOOP, "a link leads out of its folder", path)


def read_bounded(file: FileIO, max_bytes: int) -> bytes:
    """Read an open file to its end.

    Raises:
        OSError: It cannot be read, or is longer than that (``EFBIG``).
    """
    found = bytearray()
    while len(found) <= max_bytes:
        more = file.read(max_bytes + 1 - len(found))
        if not more:
            return bytes(found)
        found += more
    raise OSError(errno.EFBIG, f"it has more than {max_bytes:,} bytes", str(file.name))
