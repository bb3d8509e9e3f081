"""TIFF files that try to cost memory or time. Source of the structure: TIFF 6.0."""

import struct
import zlib
from collections.abc import Iterator

import bomb_jpeg
from bomb_png import repeated

NONE, G3, G4, LZW, OLD_JPEG, JPEG, DEFLATE, PACKBITS = 1, 3, 4, 5, 6, 7, 8, 32_773
GREY, RGB, MASK, CMYK, YCBCR = 1, 2, 4, 5, 6
LARGE = 8000
SHORT, LONG = 3, 4

Tags = dict[int, tuple[int, ...]]


def tiff(data: bytes, tags: Tags, *, following: int = 0) -> bytes:
    """A file of one directory; the data begins at byte 8."""
    data += b"\0" * (len(data) % 2)
    values, entries = b"", b""
    start = 8 + len(data)
    for tag, numbers in sorted(tags.items()):
        raw = struct.pack(f"<{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            entries += struct.pack("<HHII", tag, LONG, len(numbers), start + len(values))
            values += raw
        else:
            entries += struct.pack("<HHI", tag, LONG, 1) + raw
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", start + len(values)) + data + values + directory


def striped(
    width: int,
    height: int,
    data: bytes,
    *,
    compression: int,
    bits: tuple[int, ...] = (8, 8, 8),
    photometric: int = RGB,
    strips: int = 1,
    more: Tags | None = None,
) -> bytes:
    """All strips are the same bytes."""
    tags: Tags = {
        256: (width,),
        257: (height,),
        258: bits,
        259: (compression,),
        262: (photometric,),
        273: (8,) * strips,
        277: (len(bits),),
        278: (-(-height // strips),),
        279: (len(data),) * strips,
    }
    return tiff(data, tags | (more or {}))


def bombs() -> Iterator[tuple[str, bytes]]:
    yield from _large()
    yield from _fax()
    yield from _jpeg()
    yield from _strips()
    yield from _directories()


def _packed(size: int) -> bytes:
    return b"\x81\1" * -(-size // 128)


def _large() -> Iterator[tuple[str, bytes]]:
    sizes: tuple[tuple[tuple[int, ...], int], ...] = (
        ((8, 8, 8), LARGE),
        ((16, 16, 16), 5000),
        ((16, 16, 16), LARGE),
        ((16, 16, 16, 16), LARGE),
        ((8, 8, 8, 8), LARGE),
    )
    for bits, side in sizes:
        size = side * side * sum(bits) // 8
        more: Tags = {338: (2,)} if len(bits) == 4 else {}
        data = repeated(bytes(1000), size // 1000)
        yield (
            f"deflate, {side} x {side} of {bits}",
            striped(side, side, data, compression=DEFLATE, bits=bits, more=more),
        )
        if bits == (8, 8, 8):
            yield (
                f"packbits, {side} x {side} of {bits}",
                striped(side, side, _packed(size), compression=PACKBITS, bits=bits, more=more),
            )
    for bits, kind in (((32,), 3), ((32,), 2), ((16,), 1)):
        data = repeated(bytes(1000), LARGE * LARGE * bits[0] // 8000)
        yield (
            f"deflate of numbers {bits}, format {kind}",
            striped(
                LARGE,
                LARGE,
                data,
                compression=DEFLATE,
                bits=bits,
                photometric=GREY,
                more={339: (kind,)},
            ),
        )
    row = repeated(bytes(LARGE * 3), 100)
    yield (
        "80 deflated strips with prediction",
        striped(LARGE, LARGE, row, compression=DEFLATE, strips=80, more={317: (2,)}),
    )


def _fax() -> Iterator[tuple[str, bytes]]:
    for compression in (G3, G4):
        for height in (LARGE, 1_000_000):
            yield (
                f"fax {compression} of garbage, {height:,} rows",
                striped(
                    60,
                    height,
                    bytes(range(256)) * 4000,
                    compression=compression,
                    bits=(1,),
                    photometric=0,
                ),
            )
        yield (
            f"fax {compression} of zeros",
            striped(LARGE, LARGE, bytes(1000), compression=compression, bits=(1,), photometric=0),
        )
    white = b"\xff" * (LARGE // 8)
    yield (
        "fax 4 of white rows",
        striped(LARGE, LARGE, white, compression=G4, bits=(1,), photometric=0),
    )


def _jpeg() -> Iterator[tuple[str, bytes]]:
    for side, count in ((4000, 90), (LARGE, 90), (LARGE, 3000)):
        rest = bomb_jpeg.scan(1) + bomb_jpeg.scan(2)
        scans = bomb_jpeg.scan(0) * count
        data = bomb_jpeg.jpeg(bomb_jpeg.frame(side, side), scans, rest)
        yield (
            f"JPEG of {count:,} scans, {side}",
            striped(side, side, data, compression=JPEG, photometric=YCBCR),
        )
    old: Tags = {512: (1,), 513: (8,), 514: (len(data),), 530: (1, 1)}
    yield (
        "old JPEG of 3,000 scans",
        striped(LARGE, LARGE, data, compression=OLD_JPEG, photometric=YCBCR, more=old),
    )
    start = bomb_jpeg.scan(0, 1, 2, last=0)
    head = bomb_jpeg.frame(LARGE, 80, bomb_jpeg.PROGRESSIVE)
    data = bomb_jpeg.jpeg(head, start, bomb_jpeg.scan(0, first=1) * 95)
    yield (
        "100 strips of 96 scans",
        striped(LARGE, LARGE, data, compression=JPEG, photometric=YCBCR, strips=100),
    )


def _strips() -> Iterator[tuple[str, bytes]]:
    yield (
        "uncompressed strips that share bytes",
        striped(1000, 60_000, bytes(3000), compression=NONE, strips=60_000),
    )
    empty = b"\x78\x01" + b"\0\0\0\xff\xff" * 400_000
    yield (
        "strips that share empty blocks",
        striped(100, 4000, empty, compression=DEFLATE, strips=4000),
    )
    yield (
        "a million strips",
        striped(
            1, 1_000_000, b"\1", compression=NONE, bits=(8,), photometric=GREY, strips=1_000_000
        ),
    )
    tiles: Tags = {322: (60_000,), 323: (60_000,), 324: (8,), 325: (16,)}
    yield "tiles larger than the image", striped(16, 16, bytes(16), compression=DEFLATE, more=tiles)
    small: Tags = {322: (16,), 323: (16,), 324: (8,) * 250_000, 325: (20,) * 250_000}
    data = zlib.compress(bytes(768))
    yield "250,000 tiles", striped(LARGE, LARGE, data, compression=DEFLATE, more=small)
    yield (
        "one row, 60 million columns",
        striped(60_000_000, 1, bytes(100), compression=PACKBITS, bits=(8,), photometric=GREY),
    )
    yield (
        "one column, 60 million rows",
        striped(
            1, 60_000_000, _packed(60_000_000), compression=PACKBITS, bits=(8,), photometric=GREY
        ),
    )
    planes = _packed(LARGE * LARGE * 2)
    yield (
        "planes of 16 bits",
        striped(
            LARGE,
            LARGE,
            planes,
            compression=PACKBITS,
            bits=(16, 16, 16),
            more={284: (2,), 273: (8,) * 3, 279: (len(planes),) * 3},
        ),
    )


def _directories() -> Iterator[tuple[str, bytes]]:
    pixels = bytes(16 * 16 * 3)
    plain = striped(16, 16, pixels, compression=NONE)
    (at,) = struct.unpack_from("<I", plain, 4)
    yield "a directory that follows itself", plain[:-4] + struct.pack("<I", at)
    for entries in (5000, 60_000):
        own = striped(16, 16, pixels, compression=NONE)
        (start,) = struct.unpack_from("<I", own, 4)
        count = struct.unpack_from("<H", own, start)[0]
        table = own[start + 2 : start + 2 + 12 * count]
        claimed = 12 * entries
        table += b"".join(
            struct.pack("<HHII", 40_000 + at % 20_000, 7, claimed, 8) for at in range(entries)
        )
        directory = struct.pack("<H", count + entries) + table + bytes(4)
        yield f"{entries:,} entries that share bytes", own[:start] + directory
    long = striped(16, 16, pixels, compression=NONE, more={40_000: (0,) * 1_000_000})
    yield "a tag of a million numbers", long
    yield (
        "a million bits a sample",
        striped(16, 16, pixels, compression=NONE, more={258: (8,) * 1_000_000}),
    )
    yield "a million samples", striped(16, 16, pixels, compression=NONE, more={277: (1_000_000,)})
    yield (
        "a colour map of a million numbers",
        striped(
            16,
            16,
            bytes(256),
            compression=NONE,
            bits=(8,),
            photometric=3,
            more={320: (0,) * 1_000_000},
        ),
    )
