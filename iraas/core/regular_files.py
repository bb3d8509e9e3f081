"""Safe reading of untrusted files: regular files only, and with a size limit.

A path may lead to a named pipe, a device, a socket or a folder. Opening a pipe blocks until a
writer opens it, and a device may be endless.
"""

import errno
import os
import stat
from io import FileIO
from pathlib import Path


class IrregularFileError(OSError):
    """A path leads to something other than a regular file, such as a pipe or a device."""


def open_regular(path: str | Path, *, follow_links: bool = True) -> FileIO:
    """Open a regular file for reading, unbuffered and without blocking.

    The check is on the open file, not on the path, so that there is no race.

    Args:
        path: The file.
        follow_links: Whether the last part of the path may be a symbolic link.

    Raises:
        IrregularFileError: It is not a regular file.
        OSError: It does not exist, cannot be read, or is a link and `follow_links` is false.
        ValueError: The path has a null character.
    """
    extra = os.O_NONBLOCK | os.O_NOCTTY | (0 if follow_links else os.O_NOFOLLOW)
    file = FileIO(os.fspath(path), "r", opener=lambda name, flags: os.open(name, flags | extra))
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise IrregularFileError(errno.EINVAL, "it is not a regular file", str(path))


def is_below(path: str, folder: str) -> bool:
    """Return whether a path is below a folder; neither may contain links."""
    return os.path.commonpath([path, folder]) == folder and path != folder


def check_below(file: FileIO, path: str, folder: str) -> None:
    """Check that an open file is inside a folder, even if links changed since it was opened.

    Args:
        file: The open file.
        path: The path at which it was opened.
        folder: The folder, without links in its path.

    Raises:
        OSError: It is outside the folder (``ELOOP``).
    """
    real = os.path.realpath(path)
    if not is_below(real, folder) or not os.path.samestat(os.fstat(file.fileno()), os.lstat(real)):
        raise OSError(errno.ELOOP, "a link leads out of its folder", path)


def read_bounded(file: FileIO, max_bytes: int) -> bytes:
    """Read an open file to its end.

    Args:
        file: The open file.
        max_bytes: The maximum size, in bytes.

    Raises:
        OSError: It cannot be read, or has more than `max_bytes` bytes (``EFBIG``).
    """
    found = bytearray()
    while len(found) <= max_bytes:
        more = file.read(max_bytes + 1 - len(found))
        if not more:
            return bytes(found)
        found += more
    raise OSError(errno.EFBIG, f"it has more than {max_bytes:,} bytes", str(file.name))
