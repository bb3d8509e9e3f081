"""The pictures that are sent, in memory, and the labels that they should get."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from iraas.core.jobs import ImageFile
from iraas.errors import UsageError

MAX_TOTAL_BYTES = 256_000_000
"""Bytes of pictures in memory: more of them would measure this machine's memory."""


@dataclass(frozen=True, slots=True)
class LoadedPicture:
    """A picture to send.

    Attributes:
        name: What it is called: without folders, and without what would need quoting in a form.
        data: Its bytes, whatever they are: broken pictures are load too.
        expected: The label that it should get; None if nobody said.
    """

    name: str
    data: bytes
    expected: str | None


@dataclass(frozen=True, slots=True)
class PictureSet:
    """Pictures in memory, and whether some were left out for want of room."""

    pictures: tuple[LoadedPicture, ...]
    is_whole: bool

    @property
    def size_bytes(self) -> int:
        """Bytes of all of them."""
        return sum(len(one.data) for one in self.pictures)


def load_pictures(
    found: Iterable[ImageFile],
    labels: Mapping[str, str] | None = None,
    *,
    max_total_bytes: int = MAX_TOTAL_BYTES,
) -> PictureSet:
    """Read pictures up to a bound; those beyond it are left out.

    Args:
        found: Where they are.
        labels: What they should be labelled, by name or by name without folders.
        max_total_bytes: The bound on all of them together.

    Raises:
        UsageError: If one cannot be read, the first is over the bound, or there is none.
    """
    loaded: list[LoadedPicture] = []
    room = max_total_bytes
    for one in found:
        data = _read(one.path, room + 1)
        if len(data) > room:
            if not loaded:
                raise UsageError(f"{one.name} has more than {max_total_bytes:,} bytes")
            return PictureSet(tuple(loaded), is_whole=False)
        room -= len(data)
        name = one.name.rpartition("/")[2]
        expected = _expected(labels or {}, one.name, name)
        loaded.append(LoadedPicture(_plain(name), data, expected))
    if not loaded:
        raise UsageError(
            "no picture was found",
            remedy="Folders are searched for .jpg, .png, .webp, .gif, .bmp and .tif files.",
        )
    return PictureSet(tuple(loaded), is_whole=True)


def read_labels(path: Path) -> dict[str, str]:
    """Read a CSV file with the columns ``file`` and ``label``; others are passed over.

    Raises:
        UsageError: If it cannot be read, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as exc:
        raise UsageError(f"{path} cannot be read: {exc}") from exc
    labels = {}
    for row in rows:
        name, label = row.get("file"), row.get("label")
        if not name or label is None:
            raise UsageError(
                f"{path} has a row without file or label",
                remedy="Its first line must name the columns: file,label",
            )
        labels[name] = label.strip()
    return labels


def _expected(labels: Mapping[str, str], *names: str) -> str | None:
    return next((labels[name] for name in names if name in labels), None)


def _plain(name: str) -> str:
    return "".join(one if one.isprintable() and one not in '"\\' else "_" for one in name)


def _read(path: str, most_bytes: int) -> bytes:
    try:
        if not Path(path).is_file():
            raise UsageError(f"{path} is not a file")
        with Path(path).open("rb") as file:
            return file.read(most_bytes)
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path} cannot be read: {exc}") from exc
