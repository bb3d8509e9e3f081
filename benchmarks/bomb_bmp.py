"""BMP files that try to cost memory or time. Source of the structure: BITMAPINFOHEADER."""

import struct
from collections.abc import Iterator

RAW, RLE8, RLE4, BITFIELDS = 0, 1, 2, 3
LARGE = 8000


def bmp(
    width: int, height: int, bits: int, pixels: bytes, *, compression: int = RAW, colours: int = 0
) -> bytes:
    palette = bytes(4 * (colours or (1 << bits))) if bits <= 8 else b""
    masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF) if compression == BITFIELDS else b""
    start = 14 + 40 + len(masks) + len(palette)
    info = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 0, 0, colours, 0
    )
    head = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    return head + info + masks + palette + pixels


def bombs() -> Iterator[tuple[str, bytes]]:
    yield from _run_lengths()
    for bits in (1, 8):
        rows = bytes((LARGE * bits + 31) // 32 * 4) * (LARGE if bits == 1 else 1000)
        yield f"{bits} bits", bmp(LARGE, LARGE, bits, rows)
    for bits, compression in ((24, RAW), (32, RAW), (16, BITFIELDS), (32, BITFIELDS)):
        yield (
            f"claims {bits} bits, compression {compression}",
            bmp(LARGE, LARGE, bits, bytes(100_000), compression=compression),
        )
    for width, height in ((60_000_000, 1), (1, 60_000_000), (2**31 - 1,) * 2):
        yield f"{width} x {height}", bmp(width, height, 1, bytes(1_000_000))
    yield "from the top", bmp(LARGE, -LARGE, 1, bytes(1000 * LARGE))
    yield "a palette of 65,536 colours", bmp(16, 16, 8, bytes(256), colours=65_536)
    yield "a palette of four billion colours", bmp(16, 16, 8, bytes(256))[:46] + b"\xff" * 8


def _run_lengths() -> Iterator[tuple[str, bytes]]:
    line, end = b"\0\0", b"\0\1"
    for compression, bits in ((RLE8, 8), (RLE4, 4)):
        name = f"RLE{bits}"

        def made(width: int, height: int, data: bytes, how: tuple[int, int]) -> bytes:
            return bmp(width, height, how[1], data + end, compression=how[0])

        how = (compression, bits)
        yield f"{name}, a line end for each row", made(LARGE, LARGE, b"\1\1" + line, how)
        rows = (b"\1\1" + line) * LARGE
        yield f"{name}, rows of one pixel", made(LARGE, LARGE, rows, how)
        yield f"{name}, runs of one", made(2000, 2000, b"\1\1" * 4_000_000, how)
        yield f"{name}, jumps", made(LARGE, LARGE, b"\0\2\0\xff" * 40, how)
        yield f"{name}, absolute", made(LARGE, LARGE, (b"\0\xff" + bytes(256)) * 20_000, how)
        yield f"{name}, one row", made(60_000_000, 1, b"\1\1" + line, how)
