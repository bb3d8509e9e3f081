"""What is told of links that lead out of a folder and were not followed."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from iraas.cli.output.pluralize import pluralize
from iraas.core.control_chars import escape_control_chars

_NAMED = 20
"""Links that are named one by one; the rest is counted, as the terminal is for the images."""
_Item = TypeVar("_Item")


class SkippedLinks:
    """Names links on stderr as they are skipped, and counts them at the end."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, name: str) -> None:
        """Take note of a link."""
        self._count += 1
        if self._count <= _NAMED:
            sys.stderr.write(f"skipped: {escape_control_chars(name)} leads out of its folder\n")

    def told_after(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Pass items on, and say after the last how many links were skipped meanwhile."""
        yield from items
        if self._count:
            sys.stderr.write(
                f"{pluralize(self._count, 'link')} skipped. To send the files to which links lead: "
                "name them, or add --follow-links.\n"
            )
