"""Finding the pictures that a person names: files, folders, patterns, and lists of them.

Everything is a stream: of a list of ten million names one is in memory at a time, of a tree of
folders the names of one folder.
"""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from iraas.core.formats import FILE_EXTENSIONS
from iraas.core.jobs import clean_name
from iraas.errors import UsageError


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on the requester's machine: its name for people, and where it is."""

    name: str
    path: str


def find_pictures(paths: Sequence[str], lists: Sequence[TextIO] = ()) -> Iterator[Picture]:
    """Find the pictures behind the paths that a person typed.

    A folder gives the pictures in it and below, by their extensions, in the order of their names;
    links to folders are not followed, and names that start with a dot are passed over. A pattern
    (``*``, ``?``, ``[…]``, ``**``) gives what it matches. A file is taken whatever it is called:
    whoever names it wants to hear of it. A folder that cannot be read is given as if it were a
    picture, so that it becomes a failure and is not passed over in silence.

    Names tell where a picture is from what was typed: those of a folder begin below it if it is
    all that was typed, and with the folder otherwise, or two folders' pictures could not be told
    apart.

    Args:
        paths: What was typed.
        lists: Open texts with a path on each line.

    Raises:
        UsageError: If a path is not there, or a pattern matches nothing.
    """
    if len(paths) == 1 and not lists and _is_folder(paths[0]):
        yield from _in_folder(paths[0], "")
        return
    for path in paths:
        yield from _behind(path)
    for lines in lists:
        for line in lines:
            path = line.rstrip("\r\n")
            if path:
                yield from _behind(path, listed=True)


def _behind(path: str, *, listed: bool = False) -> Iterator[Picture]:
    if _is_folder(path):
        yield from _in_folder(path, path)
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
    except PermissionError:
        return True  # at least it may be: reading it will tell
    except OSError:
        return False


def _matching(pattern: str) -> Iterator[Picture]:
    found = False
    for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - Path.glob takes no absolute pattern
        found = True
        if _is_folder(path):
            if "**" not in pattern:
                yield from _in_folder(path, path)
        else:
            yield Picture(clean_name(path), str(Path(path).absolute()))
    if not found:
        what = "matches nothing" if glob.has_magic(pattern) else "is not there"
        raise UsageError(
            f"{pattern or 'the empty path'} {what}",
            remedy="Name files, folders or patterns that exist.",
        )


def _in_folder(folder: str, prefix: str) -> Iterator[Picture]:
    """The pictures below a folder; their names begin with the prefix."""
    if prefix in {".", "./"}:
        prefix = ""

    def found(path: Path) -> Picture:
        below = os.path.join(prefix, path.relative_to(folder))  # noqa: PTH118 - as it was typed
        return Picture(clean_name(below), str(path.absolute()))

    unreadable: list[str] = []
    walk = os.walk(folder, onerror=lambda error: unreadable.append(str(error.filename)))
    for parent, folders, files in walk:
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for file in sorted(files):
            stem, _, extension = file.rpartition(".")
            if stem and extension.lower() in FILE_EXTENSIONS and not file.startswith("."):
                yield found(Path(parent, file))
    for path in unreadable:
        yield found(Path(path))
