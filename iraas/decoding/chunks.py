"""Limits on the number of blocks in PNG, GIF and WebP files, checked before Pillow reads them.

Pillow takes some microseconds per block of any size, and a file of 50 MB can hold millions.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from iraas.decoding.limits import check_count
from iraas.errors import BrokenImageError

MAX_PNG_CHUNKS: Final = 100_000
"""A file of 50 MB in chunks of 8 kB, as libpng writes them, has 6,100."""

MAX_PNG_PROFILES: Final = 4
"""Pillow unpacks each profile, up to a megabyte, and keeps the last; the format allows one."""

MAX_TEXT_BYTES: Final = 1_048_576
"""Bytes of one text of a PNG, unpacked: Pillow's own limit."""

MAX_DEFLATE_RATIO: Final = 1_032

_TEXT_BYTES: Final = {b"tEXt": 1, b"zTXt": 1, b"iTXt": 4}
"""Bytes of Python memory per byte of text: iTXt is UTF-8, and one character beyond 16 bits makes
all characters of a string four bytes wide."""

MAX_GIF_BLOCKS: Final = 65_536
"""Blocks before the first frame: 16 MB of metadata, if all are full."""

_PNG_HEAD: Final = struct.Struct(">I4s")
_RIFF_HEAD: Final = struct.Struct("<4sI")


@dataclass(frozen=True, slots=True)
class PngChunks:
    """The chunks of a PNG.

    Attributes:
        count: The number of chunks.
        text_bytes: Upper bound on the memory of its texts, in bytes.
    """

    count: int
    text_bytes: int


def check_png_chunks(data: bytes) -> PngChunks:
    """Count a PNG's chunks.

    Raises:
        BrokenImageError: There are too many, in all or of an expensive kind.
    """
    at, profiles, text_bytes = 8, 0, 0
    for count in range(MAX_PNG_CHUNKS):
        if at + _PNG_HEAD.size > len(data):
            return PngChunks(count, text_bytes)
        size, kind = _PNG_HEAD.unpack_from(data, at)
        at += 12 + size
        profiles += kind == b"iCCP"
        check_count("colour profiles", profiles, MAX_PNG_PROFILES)
        text_bytes += _TEXT_BYTES.get(kind, 0) * min(size * MAX_DEFLATE_RATIO, MAX_TEXT_BYTES)
    raise BrokenImageError(f"the file has more than {MAX_PNG_CHUNKS:,} chunks")


def check_gif_blocks(data: bytes) -> None:
    """Count a GIF's blocks before its first frame.

    Raises:
        BrokenImageError: There are too many.
    """
    try:
        flags = data[10]
        at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        count = 0
        while data[at] not in b",;":
            check_count("blocks before its first frame", count, MAX_GIF_BLOCKS)
            count += 1
            at += 1
            if data[at - 1] == ord("!"):
                at += 1
                while size := data[at]:
                    check_count("blocks before its first frame", count, MAX_GIF_BLOCKS)
                    count += 1
                    at += 1 + size
                at += 1
    except IndexError as exc:
        raise BrokenImageError("broken GIF: the file ends before its first frame") from exc


def riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The type and the content of each chunk of a WebP. Source: RFC 9649, section 2.3."""
    at = 12
    while at + _RIFF_HEAD.size <= len(data):
        kind, size = _RIFF_HEAD.unpack_from(data, at)
        yield kind, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of a WebP in pixels, from its first chunk.

    Source: RFC 9649, sections 2.5 to 2.7.

    Raises:
        BrokenImageError: The first chunk does not state them.
    """
    try:
        chunk = data[12:16]
        if chunk == b"VP8X":
            width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
            return width + 1, height + 1
        if chunk == b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        if chunk == b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
    except struct.error as exc:
        raise BrokenImageError("broken WEBP: the file ends in its header") from exc
    raise BrokenImageError("broken WEBP: unknown first chunk")
