"""PNG files that try to cost memory or time. Source of the structure: W3C PNG, third edition."""

import struct
import zlib
from collections.abc import Iterator

from bomb_exif import bomb_exif

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
PAETH = 4
BLOCK_BYTES = 1_000_000
ADLER = 65_521
"""The modulus of RFC 1950's checksum."""
LARGE = 8000


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def repeated(row: bytes, rows: int) -> bytes:
    """Rows in zlib's format, at a cost that does not grow with their number.

    After a full flush nothing refers to what came before: the same bytes can follow themselves.
    """
    per_block = max(1, min(rows, BLOCK_BYTES // len(row)))
    blocks, rest = divmod(rows, per_block)
    stream, checksum = b"\x78\xda", 1
    for data, count in ((row * per_block, blocks), (row * rest, 1)):
        deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        stream += (deflate.compress(data) + deflate.flush(zlib.Z_FULL_FLUSH)) * count
        added = zlib.adler32(data)
        for _ in range(count):
            checksum = _joined_checksum(checksum, added, len(data))
    return stream + b"\x03\x00" + struct.pack(">I", checksum)


def _joined_checksum(first: int, second: int, second_bytes: int) -> int:
    low = (first & 0xFFFF) + (second & 0xFFFF) - 1
    high = (first >> 16) + (second >> 16) + second_bytes * ((first & 0xFFFF) - 1)
    return high % ADLER << 16 | low % ADLER


def png(
    width: int, height: int, colour: int, *extra: bytes, depth: int = 8, interlaced: bool = False
) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    row_bytes = (width * CHANNELS[colour] * depth + 7) // 8
    # Interlacing makes more rows, shorter ones: any byte of these serves as the filter of one.
    pixels = repeated(bytes([PAETH]) + b"\1" * row_bytes, height * 2 if interlaced else height)
    if colour == PALETTE:
        extra = (chunk(b"PLTE", bytes(range(256)) * 3), *extra)
    return file(chunk(b"IHDR", head), *extra, chunk(b"IDAT", pixels))


def file(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks) + chunk(b"IEND", b"")


def _tiny(*extra: bytes) -> bytes:
    return png(16, 16, RGB, *extra)


def _claimed(width: int, height: int, colour: int = RGB, depth: int = 8) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return file(chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(1000))))


def bombs() -> Iterator[tuple[str, bytes]]:
    yield from _large()
    yield from _sizes()
    yield from _texts()
    yield from _floods()


def _large() -> Iterator[tuple[str, bytes]]:
    for colour, depth in ((GREY, 8), (GREY, 16), (RGB, 8), (RGB, 16), (RGBA, 8), (RGBA, 16)):
        for side in (5600, LARGE):
            yield (
                f"{side} x {side}, colour {colour} of {depth} bits",
                png(side, side, colour, depth=depth),
            )
    yield "grey of 1 bit", png(LARGE, LARGE, GREY, depth=1)
    yield "grey and alpha of 16 bits", png(LARGE, LARGE, GREY_ALPHA, depth=16)
    yield "grey with transparency", png(LARGE, LARGE, GREY, chunk(b"tRNS", b"\0\1"))
    yield "colour with transparency", png(LARGE, LARGE, RGB, chunk(b"tRNS", b"\0\1\0\1\0\1"))
    yield "palette with transparency", png(LARGE, LARGE, PALETTE, chunk(b"tRNS", bytes(256)))
    for colour, depth in ((RGB, 8), (RGBA, 16)):
        yield (
            f"interlaced, colour {colour} of {depth} bits",
            png(LARGE, LARGE, colour, depth=depth, interlaced=True),
        )


def _sizes() -> Iterator[tuple[str, bytes]]:
    tall = 60_000_000
    yield "one pixel wide", png(1, tall, GREY)
    yield "one pixel high", png(tall, 1, GREY)
    yield "one pixel wide, interlaced", png(1, tall, GREY, interlaced=True)
    for width, height in (
        (2**31 - 1, 2**31 - 1),
        (2**31 - 1, 1),
        (13_000,) * 2,
    ):
        yield f"claims {width} x {height}", _claimed(width, height)


def _texts() -> Iterator[tuple[str, bytes]]:
    text = repeated(bytes(1000), 100_000)
    yield "zTXt of 100 MB", _tiny(chunk(b"zTXt", b"a\0\0" + text))
    yield "iTXt of 100 MB", _tiny(chunk(b"iTXt", b"a\0\1\0\0\0" + text))
    yield "iCCP of 100 MB", _tiny(chunk(b"iCCP", b"a\0\0" + text))
    text = zlib.compress(bytes(1_000_000), 9)
    for count in (60, 2000):
        many = b"".join(chunk(b"iTXt", b"a%d\0\1\0\0\0" % at + text) for at in range(count))
        yield f"{count} iTXt of a megabyte each", _tiny(many)
    yield "2,000 iCCP of a megabyte each", _tiny(chunk(b"iCCP", b"a\0\0" + text) * 2000)
    yield "EXIF", _tiny(chunk(b"eXIf", bomb_exif(60_000)))
    yield "EXIF of 5 MB", _tiny(chunk(b"eXIf", bomb_exif(60_000, 5_000_000)))
    profile = b"\nexif\n%8d\n" % 480_000 + bomb_exif(20_000, 480_000).hex().encode()
    hidden = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile))
    yield "EXIF in a text", _tiny(hidden)


def _floods() -> Iterator[tuple[str, bytes]]:
    yield "300,000 empty chunks", _tiny(chunk(b"teSt", b"") * 300_000)
    yield "300,000 empty IDAT", _tiny(chunk(b"IDAT", b"") * 300_000)
    yield "300,000 empty texts", _tiny(chunk(b"tEXt", b"a\0") * 300_000)
    head = struct.pack(">IIBBBBB", 1000, 1000, 8, GREY, 0, 0, 0)
    stream = zlib.compress(bytes(1_001_000), 0)
    split = b"".join(chunk(b"IDAT", stream[at : at + 4]) for at in range(0, len(stream), 4))
    yield "250,000 IDAT of four bytes", file(chunk(b"IHDR", head), split)
    control = struct.pack(">IIIIIHHBB", 0, 16, 16, 0, 0, 1, 100, 1, 1)
    frames = (chunk(b"fcTL", control) + chunk(b"fdAT", bytes(4))) * 100_000
    yield "100,000 frames", _tiny(chunk(b"acTL", struct.pack(">II", 100_000, 0)), frames)
    stored = b"\x78\x01" + b"\0\0\0\xff\xff" * 1_000_000
    yield "a million empty blocks", file(chunk(b"IHDR", head), chunk(b"IDAT", stored))
