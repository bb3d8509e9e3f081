"""The marker structure of a JPEG: its frame and its scans.

Scans are found where a decoder finds them: neither in the thumbnails of the metadata nor after the
end of the image. Source: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as count_from
from typing import Final

from iraas.decoding.limits import check_count
from iraas.errors import BrokenImageError

MAX_SEGMENTS: Final = 5_000
"""Segments before the first scan. 50 MB of metadata fill 763."""

MAX_PADDING_BYTES: Final = 65_536
"""Bytes outside segments before the first scan; Pillow reads them one at a time."""

MAX_EXIF_BYTES: Final = 8_000_000
"""Pillow joins EXIF segments two at a time, at a cost that grows with the square."""

MAX_TABLE_BYTES: Final = 65_536
"""Bytes of quantisation tables before the first scan. An honest file has 4 tables at most (520
bytes); Pillow's time for them grows with the square too."""

LENGTH_BYTES: Final = 2
"""Bytes of a segment's length field, which the length includes."""

END_OF_IMAGE, START_OF_SCAN = 0xD9, 0xDA
QUANTISATION_TABLES, RESTART_INTERVAL, EXIF_SEGMENT = 0xDB, 0xDD, 0xE1

_PARAMETERLESS: Final = frozenset({0x01, *range(0xD0, 0xDA)})
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_ARITHMETIC: Final = frozenset(range(0xC9, 0xD0))
_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
_MARKER_AFTER_DATA: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame header.

    Attributes:
        process: The marker's second byte, which identifies the coding process.
        width: In pixels.
        height: In pixels; 0 if the header does not state it.
        blocks: Blocks of 8 x 8 samples by component, partial ones at the edges included.
    """

    process: int
    width: int
    height: int
    blocks: dict[int, int]

    @property
    def is_progressive(self) -> bool:
        """Whether scans refine each other."""
        return self.process in _PROGRESSIVE

    @property
    def is_arithmetic(self) -> bool:
        """Whether the data are coded arithmetically."""
        return self.process in _ARITHMETIC


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan header.

    Attributes:
        components: The components that it covers.
        coefficients: The number of a block's 64 coefficients that it covers.
        restart_interval: Blocks or groups of blocks between restarts; 0 for none.
    """

    components: tuple[int, ...]
    coefficients: int
    restart_interval: int


@dataclass(frozen=True, slots=True)
class Header:
    """The contents of a file before its first scan.

    Attributes:
        frame: The frame header.
        first_scan: Offset of the first scan's marker, in bytes.
        restart_interval: As in `Scan`.
    """

    frame: Frame
    first_scan: int
    restart_interval: int


def read_header(data: bytes) -> Header:
    """Read a JPEG up to its first scan.

    Raises:
        BrokenImageError: There is no frame or no scan, or too much before it.
    """
    frame, interval, padding, exif_bytes, table_bytes = None, 0, 0, 0, 0
    at = 2
    for count in count_from(1):
        if count > MAX_SEGMENTS:
            check_count("segments before its first scan", count, MAX_SEGMENTS)
        start, at = at, _marker(data, at)
        if at > start:
            padding += at - start
            check_count("bytes outside its segments", padding, MAX_PADDING_BYTES)
        marker = data[at + 1]
        if marker == START_OF_SCAN:
            break
        at, payload = _segment(data, at)
        if marker in _FRAMES:
            frame = _frame(marker, payload)
        elif marker == RESTART_INTERVAL:
            interval = _interval(payload)
        elif marker == QUANTISATION_TABLES:
            table_bytes += len(payload)
            check_count("bytes of quantisation tables", table_bytes, MAX_TABLE_BYTES)
        elif marker == EXIF_SEGMENT and payload.startswith(b"Exif\0\0"):
            exif_bytes += len(payload)
            check_count("bytes of EXIF", exif_bytes, MAX_EXIF_BYTES)
    if frame is None:
        raise BrokenImageError("broken JPEG: no frame before the first scan")
    return Header(frame, at, interval)


def iter_scans(data: bytes, header: Header) -> Iterator[Scan]:
    """The scan headers, up to the end of the image or of the data."""
    at, interval = header.first_scan, header.restart_interval
    while at < len(data) - 1:
        marker = data[at + 1]
        if marker == END_OF_IMAGE:
            return
        try:
            at, payload = _segment(data, at)
        except BrokenImageError:
            return
        if marker == RESTART_INTERVAL:
            interval = _interval(payload)
        if marker == START_OF_SCAN and payload:
            components = tuple(payload[1 : 1 + 2 * payload[0] : 2])
            spectrum = payload[1 + 2 * payload[0] :][:2]
            coefficients = (
                max(1, min(64, spectrum[1] - spectrum[0] + 1)) if len(spectrum) > 1 else 64
            )
            yield Scan(components, coefficients, interval)
        found = _MARKER_AFTER_DATA.search(data, at)
        at = found.start() if found else len(data)


def _marker(data: bytes, at: int) -> int:
    """The offset of the next marker, after any padding."""
    found = _MARKER.search(data, at, at + MAX_PADDING_BYTES + 2)
    if found is None:
        raise BrokenImageError("broken JPEG: no marker where one is required")
    return found.start()


def _segment(data: bytes, at: int) -> tuple[int, bytes]:
    """The end of the segment whose marker is at `at`, and its payload."""
    if data[at + 1] in _PARAMETERLESS:
        return at + 2, b""
    size = int.from_bytes(data[at + 2 : at + 4])
    end = at + 2 + size
    if size < LENGTH_BYTES or end > len(data):
        raise BrokenImageError("broken JPEG: a segment is longer than the file")
    return end, data[at + 4 : end]


def _frame(marker: int, payload: bytes) -> Frame:
    try:
        _, height, width, count = struct.unpack_from(">BHHB", payload)
    except struct.error as exc:
        raise BrokenImageError("broken JPEG: the frame header is too short") from exc
    factors = payload[7 : 7 + 3 * count : 3]
    columns = -(-width // (8 * max((factor >> 4 for factor in factors), default=1) or 8))
    rows = -(-height // (8 * max((factor & 15 for factor in factors), default=1) or 8))
    components = zip(payload[6 : 6 + 3 * count : 3], factors, strict=False)
    blocks = {name: columns * (factor >> 4) * rows * (factor & 15) for name, factor in components}
    return Frame(marker, width, height, blocks)


def _interval(payload: bytes) -> int:
    return int.from_bytes(payload[:2])
