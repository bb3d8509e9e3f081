"""Finding the pictures that a person names: files, folders, patterns, and lists of them.

Everything is a stream: of a list of ten million names one is in memory at a time, of a tree of
folders the names of one folder.
"""

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TextIO

from iraas.core.image_formats import FILE_EXTENSIONS
from iraas.core.jobs import ImageFile, sanitize_name
from iraas.core.regular_files import is_below
from iraas.errors import UsageError


def _ignore(_: str) -> None:
    pass


def find_images(
    paths: Sequence[str],
    lists: Sequence[TextIO] = (),
    *,
    follow_links: bool = False,
    skipped: Callable[[str], None] = _ignore,
) -> Iterator[ImageFile]:
    """Find the pictures behind the paths that a person typed.

    A folder gives the pictures in it and below, by their extensions, in the order of their names;
    links to folders are not followed, and names that start with a dot are passed over. A link in it
    that leads out of it is skipped: whoever filled the folder may not choose what else is sent. A
    link that was typed is followed. A pattern
    (``*``, ``?``, ``[…]``, ``**``) gives what it matches. A file is taken whatever it is called:
    whoever names it wants to hear of it. A folder that cannot be read is given as if it were a
    picture, so that it becomes a failure and is not passed over in silence.

    Names tell where a picture is from what was typed: those of a folder begin below it if it is
    all that was typed, and with the folder otherwise, or two folders' pictures could not be told
    apart.

    Args:
        paths: What was typed.
        lists: Open texts with a path on each line.
        follow_links: Whether links to files that lead out of their folder are followed as well.
        skipped: Told the name of each link that leads out of its folder.

    Raises:
        UsageError: If a path is not there, or a pattern matches nothing.
    """
    walk = _Walk(follow_links, skipped)
    if len(paths) == 1 and not lists and _is_folder(paths[0]):
        yield from walk.below(paths[0], "")
        return
    for path in paths:
        yield from _behind(path, walk)
    for lines in lists:
        for line in lines:
            path = line.rstrip("\r\n")
            if path:
                yield from _behind(path, walk, listed=True)


def _behind(path: str, walk: "_Walk", *, listed: bool = False) -> Iterator[ImageFile]:
    if _is_folder(path):
        yield from walk.below(path, path)
    elif listed or (path and _exists(path)):
        # A listed file that is not there gets a failure outcome: the others on the list matter.
        yield ImageFile(sanitize_name(path), str(Path(path).absolute()))
    else:
        yield from _matching(path, walk)


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


def _matching(pattern: str, walk: "_Walk") -> Iterator[ImageFile]:
    found = False
    bound = ""
    for path in glob.iglob(pattern, recursive=True):
        found = True
        bound = bound or ("" if walk.follow_links else _fixed_folder(pattern))
        if bound and os.path.commonpath([os.path.realpath(path), bound]) != bound:
            walk.skipped(sanitize_name(path))
        elif _is_folder(path):
            if "**" not in pattern:
                yield from walk.below(path, path)
        else:
            yield ImageFile(sanitize_name(path), str(Path(path).absolute()), bound)
    if not found:
        what = "matches nothing" if glob.has_magic(pattern) else "is not there"
        raise UsageError(
            f"{pattern or 'the empty path'} {what}",
            remedy="Name files, folders or patterns that exist.",
        )


def _fixed_folder(pattern: str) -> str:
    """The folder that a pattern names, without links in its path; what it matches lies below."""
    parts = takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    return os.path.realpath(Path(*parts))


@dataclass(frozen=True, slots=True)
class _Walk:
    """How folders are searched: whether links out of them are followed, and who is told if not."""

    follow_links: bool
    skipped: Callable[[str], None]

    def below(self, folder: str, prefix: str) -> Iterator[ImageFile]:
        """The images below a folder; their names begin with the prefix."""
        prefix = "" if prefix in {".", "./"} else prefix
        root = os.path.realpath(folder)
        bound = "" if self.follow_links else root
        unreadable: list[str] = []
        walk = os.walk(folder, onerror=lambda error: unreadable.append(str(error.filename)))
        for parent, folders, files in walk:
            folders[:] = sorted(one for one in folders if not one.startswith("."))
            links = [one for one in folders if _leads_out(Path(parent, one), root)]
            for link in links:
                self.skipped(_name(Path(parent, link), folder, prefix))
            for file in sorted(filter(_is_named_like_an_image, files)):
                path = Path(parent, file)
                name = _name(path, folder, prefix)
                if bound and _leads_out(path, root):
                    self.skipped(name)
                else:
                    yield ImageFile(name, str(path.absolute()), bound)
        for one in unreadable:
            yield ImageFile(_name(Path(one), folder, prefix), str(Path(one).absolute()), bound)


def _name(path: Path, folder: str, prefix: str) -> str:
    return sanitize_name(os.path.join(prefix, path.relative_to(folder)))


def _is_named_like_an_image(file: str) -> bool:
    stem, _, extension = file.rpartition(".")
    return bool(stem) and extension.lower() in FILE_EXTENSIONS and not file.startswith(".")


def _leads_out(path: Path, root: str) -> bool:
    """Whether a path is a link that leads out of a folder, itself without links in its path."""
    return path.is_symlink() and not is_below(os.path.realpath(path), root)
