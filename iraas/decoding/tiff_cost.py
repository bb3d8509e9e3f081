"""What decoding a TIFF takes.

Besides its pixels that is the largest strip or tile, which libtiff unpacks whole. Strips may share
their bytes, so that a small file is read many times over; and each strip of JPEG data has scans of
its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from iraas.decoding.limits import Cost, DecodeLimits

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile

BITS_PER_SAMPLE, PHOTOMETRIC, STRIP_OFFSETS, SAMPLES_PER_PIXEL = 258, 262, 273, 277
ROWS_PER_STRIP, STRIP_BYTE_COUNTS, PLANAR = 278, 279, 284
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTE_COUNTS = 322, 323, 324, 325
YCBCR: Final = 6

BLOCK_PIXELS: Final = 64
KEPT_SAMPLE_BYTES: Final = 2
"""libjpeg keeps 16 bits a sample while there are more scans to come."""

# Seconds, upper bounds measured with libtiff 4.7.
FAX_PIXEL_S: Final = 5e-9
FAX_ROW_S: Final = 2e-6
"""Mostly for the warning that libtiff writes about each broken row."""
STRIP_S: Final = 4e-6
SCAN_BLOCK_S: Final = 25e-9
PIXEL_S: Final = 2e-9

_UNPACKED_BYTE_S: Final = {
    "raw": 1e-9,
    "packbits": 3e-9,
    "tiff_lzw": 5.5e-9,
    "tiff_deflate": 5.5e-9,
    "tiff_adobe_deflate": 5.5e-9,
    "zstd": 5e-9,
    "lzma": 9e-9,
    "jpeg": 2e-9,
    "tiff_jpeg": 2e-9,
}
ARITHMETIC_BYTE_S: Final = 10e-9
"""Of JPEG data that are coded arithmetically."""
_ARITHMETIC: Final = re.compile(rb"\xff[\xc9-\xcb\xcd-\xcf]")
"""A frame's marker. Within coded data each 0xFF is followed by a zero or a restart."""
_PACKED_BYTE_S: Final = {"raw": 0.0, "lzma": 50e-9, "jpeg": 15e-9, "tiff_jpeg": 15e-9}
DEAREST_UNPACKED_BYTE_S: Final = 10e-9
PACKED_BYTE_S: Final = 5e-9
_FAX: Final = frozenset({"tiff_ccitt", "group3", "group4"})
_JPEG: Final = frozenset({"jpeg", "tiff_jpeg"})


class _Segments(NamedTuple):
    """The strips or tiles: where they are, and how many pixels each has."""

    offsets: tuple[int, ...]
    byte_counts: tuple[int, ...]
    width: int
    length: int


def tiff_cost(image: TiffImageFile, data: bytes, limits: DecodeLimits) -> Cost:
    """What decoding takes.

    Args:
        image: As Pillow opened it; nothing is decoded.
        data: The file.
        limits: On the size of a tile.

    Raises:
        ImageError: If the tiles are too large, or there are none.
    """
    segments = _segments(image)
    limits.check_size(segments.width, segments.length, "tiles of")
    compression = str(image.info.get("compression", "raw"))
    pixels = image.width * image.height
    pixel_bytes = _pixel_bytes(image)
    packed = sum(min(one, len(data)) for one in segments.byte_counts)
    byte_s = _UNPACKED_BYTE_S.get(compression, DEAREST_UNPACKED_BYTE_S)
    if compression in _JPEG and _ARITHMETIC.search(data):
        byte_s = ARITHMETIC_BYTE_S
    cpu_s = (
        pixels * (PIXEL_S + pixel_bytes * byte_s)
        + packed * _PACKED_BYTE_S.get(compression, PACKED_BYTE_S)
        + len(segments.offsets) * STRIP_S
    )
    memory_bytes = 0.0
    if compression != "raw":
        in_segment = segments.width * segments.length
        # libtiff hands out YCbCr as RGBA, but for JPEG data, whose colours libjpeg converts.
        is_ycbcr = image.tag_v2.get(PHOTOMETRIC) == YCBCR
        as_rgba = 4 if is_ycbcr and compression != "jpeg" else 0
        memory_bytes = in_segment * (pixel_bytes + as_rgba) + max(segments.byte_counts, default=0)
    if compression in _FAX:
        cpu_s += pixels * FAX_PIXEL_S + image.height * FAX_ROW_S
    if compression in _JPEG:
        return Cost(memory_bytes, cpu_s) + _jpeg_cost(image, data, segments, compression)
    return Cost(memory_bytes, cpu_s)


def _segments(image: TiffImageFile) -> _Segments:
    tags = image.tag_v2
    if TILE_OFFSETS in tags and STRIP_OFFSETS not in tags:
        offsets, counts = tags[TILE_OFFSETS], tags.get(TILE_BYTE_COUNTS, ())
        width, length = tags.get(TILE_WIDTH, 0), tags.get(TILE_LENGTH, 0)
    else:
        offsets, counts = tags.get(STRIP_OFFSETS, ()), tags.get(STRIP_BYTE_COUNTS, ())
        width, length = image.width, min(tags.get(ROWS_PER_STRIP, image.height), image.height)
        # libtiff prefers tiles wherever their size is given.
        width = max(width, tags.get(TILE_WIDTH, 0))
        length = max(length, tags.get(TILE_LENGTH, 0))
    return _Segments(tuple(offsets), tuple(counts), width, max(1, length))


def _pixel_bytes(image: TiffImageFile) -> float:
    bits = image.tag_v2.get(BITS_PER_SAMPLE, (1,))
    samples = max(len(bits), image.tag_v2.get(SAMPLES_PER_PIXEL, 1))
    return float(max(bits) * samples / 8)


def _jpeg_cost(image: TiffImageFile, data: bytes, segments: _Segments, compression: str) -> Cost:
    samples = image.tag_v2.get(SAMPLES_PER_PIXEL, 3)
    in_segment = segments.width * segments.length * samples
    if compression == "tiff_jpeg":  # old style: libtiff puts the data together from many places
        in_segment = image.width * image.height * samples
        counts = [data.count(b"\xff\xda")]
    else:
        counts = [
            data.count(b"\xff\xda", offset, offset + size)
            for offset, size in zip(segments.offsets, segments.byte_counts, strict=False)
        ]
    kept = in_segment * KEPT_SAMPLE_BYTES if max(counts, default=0) > 1 else 0
    return Cost(kept, sum(counts) * in_segment / BLOCK_PIXELS * SCAN_BLOCK_S)
