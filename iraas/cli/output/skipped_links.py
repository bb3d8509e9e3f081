"""Notices about links that lead out of a folder and are not followed."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from iraas.cli.output.pluralize import pluralize
from iraas.core.control_chars import escape_control_chars

_NAMED = 20
"""The links that are named one by one; further ones are only counted."""
_Item = TypeVar("_Item")


class SkippedLinks:
    """Names links on stderr as they are skipped, and counts them at the end."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, name: str) -> None:
        """Count a skipped link, and name it if it is among the first."""
        self._count += 1
        if self._count <= _NAMED:
            sys.stderr.write(f"skipped: {escape_control_chars(name)} leads out of its folder\n")

    def reported_after(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Yield the items, and print after the last how many links were skipped."""
        yield from items
        if self._count:
            sys.stderr.write(
                f"{pluralize(self._count, 'link')} skipped. To send the files to which links lead: "
                "name them, or add --follow-links.\n"
            )
