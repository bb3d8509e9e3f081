"""The cost of decoding a TIFF.

It depends on the pixels and on the largest strip or tile, which libtiff unpacks as a whole. Strips
may share their bytes, so that a small file is read many times over, and each strip of JPEG data has
its own scans.
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
"""libjpeg keeps 16 bits per sample until the last scan."""

# Seconds, upper bounds measured with libtiff 4.7.
FAX_PIXEL_S: Final = 5e-9
FAX_ROW_S: Final = 2e-6
"""Mostly the warning that libtiff writes about each broken row."""
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
"""Of arithmetically coded JPEG data."""
_ARITHMETIC: Final = re.compile(rb"\xff[\xc9-\xcb\xcd-\xcf]")
"""The marker of a frame. Within coded data each 0xFF is followed by a zero or a restart."""
_PACKED_BYTE_S: Final = {"raw": 0.0, "lzma": 50e-9, "jpeg": 15e-9, "tiff_jpeg": 15e-9}
DEFAULT_UNPACKED_BYTE_S: Final = 10e-9
DEFAULT_PACKED_BYTE_S: Final = 5e-9
_FAX: Final = frozenset({"tiff_ccitt", "group3", "group4"})
_JPEG: Final = frozenset({"jpeg", "tiff_jpeg"})


class _Segments(NamedTuple):
    """The strips or tiles: offsets and lengths in bytes, and the size of each in pixels."""

    offsets: tuple[int, ...]
    byte_counts: tuple[int, ...]
    width: int
    length: int


def tiff_cost(image: TiffImageFile, data: bytes, limits: DecodeLimits) -> Cost:
    """Estimate the cost of decoding.

    Args:
        image: The image as Pillow opened it, not decoded.
        data: The bytes of the file.
        limits: Limits, for the size of a tile.

    Raises:
        ImageError: The tiles are too large or empty.
    """
    segments = _segments(image)
    limits.check_size(segments.width, segments.length, "tiles of")
    compression = str(image.info.get("compression", "raw"))
    pixels = image.width * image.height
    pixel_bytes = _pixel_bytes(image)
    packed = sum(min(count, len(data)) for count in segments.byte_counts)
    byte_s = _UNPACKED_BYTE_S.get(compression, DEFAULT_UNPACKED_BYTE_S)
    if compression in _JPEG and _ARITHMETIC.search(data):
        byte_s = ARITHMETIC_BYTE_S
    cpu_s = (
        pixels * (PIXEL_S + pixel_bytes * byte_s)
        + packed * _PACKED_BYTE_S.get(compression, DEFAULT_PACKED_BYTE_S)
        + len(segments.offsets) * STRIP_S
    )
    memory_bytes = 0.0
    if compression != "raw":
        in_segment = segments.width * segments.length
        # libtiff converts YCbCr to RGBA, except for JPEG data, which libjpeg converts.
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
    if compression == "tiff_jpeg":  # old style: libtiff assembles the data from many parts
        in_segment = image.width * image.height * samples
        counts = [data.count(b"\xff\xda")]
    else:
        counts = [
            data.count(b"\xff\xda", offset, offset + size)
            for offset, size in zip(segments.offsets, segments.byte_counts, strict=False)
        ]
    kept = in_segment * KEPT_SAMPLE_BYTES if max(counts, default=0) > 1 else 0
    return Cost(kept, sum(counts) * in_segment / BLOCK_PIXELS * SCAN_BLOCK_S)
