"""Finding the images that a user names: files, folders, glob patterns, and lists of them.

Everything is streamed: of a list of ten million names one is in memory at a time, of a folder tree
the names of one folder.
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
    on_skipped: Callable[[str], None] = _ignore,
) -> Iterator[ImageFile]:
    """Find images by the paths that a user typed.

    - A folder gives the images in it and below, by file extension, sorted by name. Links to folders
      are not followed, and names that start with a dot are skipped. A link to a file outside the
      folder is skipped, so that whoever filled the folder cannot choose what else is sent.
    - A pattern (``*``, ``?``, ``[…]``, ``**``) gives what it matches.
    - A file is accepted whatever its extension, and a typed link is followed.
    - An unreadable folder is returned as if it were an image, so that it becomes a failure outcome
      and is not skipped silently.

    Names are relative to a folder if it is the only path; otherwise they include the folder as
    typed, so that the images of two folders have different names.

    Args:
        paths: The paths as typed.
        lists: Open text files with one path per line.
        follow_links: Whether to follow links to files outside of their folder.
        on_skipped: Called with the name of each skipped link.

    Raises:
        UsageError: A path does not exist, or a pattern matches nothing.
    """
    walk = _Walk(follow_links, on_skipped)
    if len(paths) == 1 and not lists and _is_folder(paths[0]):
        yield from walk.below(paths[0], "")
        return
    for path in paths:
        yield from _expand(path, walk)
    for lines in lists:
        for line in lines:
            path = line.rstrip("\r\n")
            if path:
                yield from _expand(path, walk, listed=True)


def _expand(path: str, walk: "_Walk", *, listed: bool = False) -> Iterator[ImageFile]:
    if _is_folder(path):
        yield from walk.below(path, path)
    elif listed or (path and _exists(path)):
        # A missing file on a list becomes a failure outcome: the others on the list matter.
        yield ImageFile(sanitize_name(path), str(Path(path).absolute()))
    else:
        yield from _matching(path, walk)


def _is_folder(path: str) -> bool:
    """Return whether a path leads to a folder; False for the empty path, ``.`` for Path."""
    try:
        return path != "" and Path(path).is_dir()
    except OSError:
        return False  # the path is too long


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except PermissionError:
        return True  # possibly: reading it will show
    except OSError:
        return False


def _matching(pattern: str, walk: "_Walk") -> Iterator[ImageFile]:
    found = False
    bound = ""
    for path in glob.iglob(pattern, recursive=True):
        found = True
        bound = bound or ("" if walk.follow_links else _fixed_folder(pattern))
        if bound and os.path.commonpath([os.path.realpath(path), bound]) != bound:
            walk.on_skipped(sanitize_name(path))
        elif _is_folder(path):
            if "**" not in pattern:
                yield from walk.below(path, path)
        else:
            yield ImageFile(sanitize_name(path), str(Path(path).absolute()), bound)
    if not found:
        problem = "matches nothing" if glob.has_magic(pattern) else "does not exist"
        raise UsageError(
            f"{pattern or 'the empty path'} {problem}",
            remedy="Name files, folders or patterns that exist.",
        )


def _fixed_folder(pattern: str) -> str:
    """Return the longest fixed folder of a pattern, without links in its path."""
    parts = takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    return os.path.realpath(Path(*parts))


@dataclass(frozen=True, slots=True)
class _Walk:
    """A recursive search of folders, and its treatment of links that lead out of them."""

    follow_links: bool
    on_skipped: Callable[[str], None]

    def below(self, folder: str, prefix: str) -> Iterator[ImageFile]:
        """Iterate over the images below a folder; their names start with the prefix."""
        prefix = "" if prefix in {".", "./"} else prefix
        root = os.path.realpath(folder)
        bound = "" if self.follow_links else root
        unreadable: list[str] = []
        walk = os.walk(folder, onerror=lambda error: unreadable.append(str(error.filename)))
        for parent, folders, files in walk:
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            links = [name for name in folders if _leads_out(Path(parent, name), root)]
            for link in links:
                self.on_skipped(_name(Path(parent, link), folder, prefix))
            for file in sorted(filter(_is_named_like_an_image, files)):
                path = Path(parent, file)
                name = _name(path, folder, prefix)
                if bound and _leads_out(path, root):
                    self.on_skipped(name)
                else:
                    yield ImageFile(name, str(path.absolute()), bound)
        for path in map(Path, unreadable):
            yield ImageFile(_name(path, folder, prefix), str(path.absolute()), bound)


def _name(path: Path, folder: str, prefix: str) -> str:
    return sanitize_name(os.path.join(prefix, path.relative_to(folder)))


def _is_named_like_an_image(file: str) -> bool:
    stem, _, extension = file.rpartition(".")
    return bool(stem) and extension.lower() in FILE_EXTENSIONS and not file.startswith(".")


def _leads_out(path: Path, root: str) -> bool:
    """Return whether a path is a link that leads out of `root`, a path without links."""
    return path.is_symlink() and not is_below(os.path.realpath(path), root)
