"""A check of a TIFF's first directory before Pillow reads it. Source: TIFF 6.0, section 2."""

from __future__ import annotations

import struct
from typing import Final

from iraas.decoding.limits import check_count
from iraas.errors import BrokenImageError

MAX_ENTRIES: Final = 4_096
"""Pillow takes 3 microseconds per entry; honest directories have some dozens."""

MAX_VALUES: Final = 200_000
"""Values of a tag that Pillow converts to a tuple when it opens the file. One strip for each of
60,000 rows in three planes fits."""

BITS_PER_SAMPLE, STRIP_OFFSETS, STRIP_BYTE_COUNTS, COLOUR_MAP = 258, 273, 279, 320
TILE_OFFSETS, TILE_BYTE_COUNTS, EXTRA_SAMPLES, SAMPLE_FORMAT = 324, 325, 338, 339

_READ_AT_OPEN: Final = frozenset(
    {
        BITS_PER_SAMPLE,
        STRIP_OFFSETS,
        STRIP_BYTE_COUNTS,
        COLOUR_MAP,
        TILE_OFFSETS,
        TILE_BYTE_COUNTS,
        EXTRA_SAMPLES,
        SAMPLE_FORMAT,
    }
)


def check_tiff_directory(data: bytes) -> None:
    """Check the number of entries and values in the first directory.

    Raises:
        BrokenImageError: There are too many, or there is no directory.
    """
    order = ">" if data.startswith(b"MM") else "<"
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, start)
        check_count("entries in its directory", entries, MAX_ENTRIES)
        for index in range(entries):
            tag, _, count = struct.unpack_from(f"{order}HHI", data, start + 2 + 12 * index)
            if tag in _READ_AT_OPEN:
                check_count(f"values in tag {tag}", count, MAX_VALUES)
    except struct.error as exc:
        raise BrokenImageError("broken TIFF: the file ends in its directory") from exc
