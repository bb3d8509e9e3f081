"""The images to send, in memory, and their expected labels."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from iraas.core.jobs import ImageFile
from iraas.errors import UsageError

MAX_TOTAL_BYTES = 256_000_000
"""Bytes of images in memory: more would measure this machine's memory."""


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image to send.

    Attributes:
        name: Its file name, without folders and without characters that need quoting in a form.
        data: Its bytes, valid or not: corrupt images are load too.
        expected: The label that it should get; None if unknown.
    """

    name: str
    data: bytes
    expected: str | None


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images in memory, and whether some were left out because of the limit on memory."""

    images: tuple[LoadedImage, ...]
    is_whole: bool

    @property
    def size_bytes(self) -> int:
        """Total size of the images."""
        return sum(len(image.data) for image in self.images)


def load_images(
    files: Iterable[ImageFile],
    labels: Mapping[str, str] | None = None,
    *,
    max_total_bytes: int = MAX_TOTAL_BYTES,
) -> ImageSet:
    """Read images up to a total size; the others are left out.

    Args:
        files: The image files.
        labels: Expected labels, by name or by name without folders.
        max_total_bytes: Limit on all images together.

    Raises:
        UsageError: A file cannot be read, the first one is over the limit, or there is none.
    """
    loaded: list[LoadedImage] = []
    available = max_total_bytes
    for file in files:
        data = _read(file.path, available + 1)
        if len(data) > available:
            if not loaded:
                raise UsageError(f"{file.name} has more than {max_total_bytes:,} bytes")
            return ImageSet(tuple(loaded), is_whole=False)
        available -= len(data)
        name = file.name.rpartition("/")[2]
        expected = _expected(labels or {}, file.name, name)
        loaded.append(LoadedImage(_plain(name), data, expected))
    if not loaded:
        raise UsageError(
            "no images found",
            remedy="Folders are searched for .jpg, .png, .webp, .gif, .bmp and .tif files.",
        )
    return ImageSet(tuple(loaded), is_whole=True)


def read_labels(path: Path) -> dict[str, str]:
    """Read a CSV file with the columns ``file`` and ``label``; other columns are ignored.

    Raises:
        UsageError: The file cannot be read, or lacks a column.
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
    return "".join(char if char.isprintable() and char not in '"\\' else "_" for char in name)


def _read(path: str, max_bytes: int) -> bytes:
    try:
        if not Path(path).is_file():
            raise UsageError(f"{path} is not a file")
        with Path(path).open("rb") as file:
            return file.read(max_bytes)
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path} cannot be read: {exc}") from exc
