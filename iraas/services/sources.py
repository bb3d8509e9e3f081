"""Finding the pictures that a person names: files, folders, patterns, and lists of them.

Everything is a stream: a list of ten million names is never in memory.
"""

import glob
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from iraas.core.formats import FILE_EXTENSIONS
from iraas.core.jobs import clean_name
from iraas.errors import UsageError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on the requester's machine: its name for people, and where it is."""

    name: str
    path: str


def find_pictures(paths: Iterable[str], lists: Iterable[TextIO] = ()) -> Iterator[Picture]:
    """Find the pictures behind the paths that a person typed.

    A folder gives the pictures in it and below, by their extensions, in the order of their names;
    links to folders are not followed, and names that start with a dot are passed over. A pattern
    (``*``, ``?``, ``[…]``, ``**``) gives what it matches. A file is taken whatever it is called:
    whoever names it wants to hear of it.

    Args:
        paths: What was typed.
        lists: Open texts with a path on each line.

    Raises:
        UsageError: If a path is not there, or a pattern matches nothing.
    """
    for path in paths:
        yield from _behind(path)
    for lines in lists:
        for line in lines:
            path = line.rstrip("\r\n")
            if path:
                yield from _behind(path, listed=True)


def _behind(path: str, *, listed: bool = False) -> Iterator[Picture]:
    if _is_folder(path):
        yield from _in_folder(path)
    elif listed or (path and _exists(path)):
        # A listed file that is not there gets a failure outcome: the others on the list matter.
        yield Picture(clean_name(path), str(Path(path).absolute()))
    else:
        yield from _matching(path)


def _is_folder(path: str) -> bool:
    """Tell whether a path leads to a folder. The empty one does not: Path takes it for ``.``."""
    try:
        return path != "" and Path(path).is_dir()
    except OSError:
        return False  # it is longer than any path


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:
        return False


def _matching(pattern: str) -> Iterator[Picture]:
    found = False
    for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - Path.glob takes no absolute pattern
        found = True
        if _is_folder(path):
            if "**" not in pattern:
                yield from _in_folder(path)
        else:
            yield Picture(clean_name(path), str(Path(path).absolute()))
    if not found:
        what = "matches nothing" if glob.has_magic(pattern) else "is not there"
        raise UsageError(
            f"{pattern or 'the empty path'} {what}",
            remedy="Name files, folders or patterns that exist.",
        )


def _in_folder(folder: str) -> Iterator[Picture]:
    for parent, folders, files in os.walk(folder, onerror=_tell):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for file in sorted(files):
            stem, _, extension = file.rpartition(".")
            if stem and extension.lower() in FILE_EXTENSIONS and not file.startswith("."):
                path = Path(parent, file)
                yield Picture(clean_name(str(path.relative_to(folder))), str(path.absolute()))


def _tell(error: OSError) -> None:
    log.warning("%r cannot be read and is left out: %s", error.filename, error.strerror)
