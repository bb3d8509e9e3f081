"""WebP files that try to cost memory or time. Source of the structure: RFC 9649."""

import struct
from collections.abc import Iterator
from io import BytesIO

from bomb_exif import bomb_exif
from bomb_gif import BitWriter
from PIL import Image, ImageChops

LARGE = 8000
LIMIT = 16_383
PREDICTOR, COLOUR, SUBTRACT_GREEN = 0, 1, 2


def chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def webp(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _one_symbol_codes(writer: BitWriter, symbols: tuple[int, ...] = (0,) * 5) -> None:
    for symbol in symbols:
        writer.write(0b1 | 0b00 << 1, 2)
        writer.write(1, 1)
        writer.write(symbol, 8)


def lossless(width: int, height: int, *transforms: int) -> bytes:
    """A canvas of one colour in some tens of bytes."""
    writer = BitWriter()
    writer.write(0x2F, 8)
    writer.write(width - 1, 14)
    writer.write(height - 1, 14)
    writer.write(1, 1)
    writer.write(0, 3)
    for transform in transforms:
        writer.write(1, 1)
        writer.write(transform, 2)
        if transform != SUBTRACT_GREEN:
            writer.write(0b111, 3)  # a block of 512 pixels each way
            writer.write(0, 1)
            # Predictor 11 is the dearest: it compares two distances for each pixel.
            _one_symbol_codes(writer, (11, 0, 0, 0, 0) if transform == PREDICTOR else (7,) * 5)
    writer.write(0, 1)
    writer.write(0, 1)
    writer.write(0, 1)
    _one_symbol_codes(writer)
    return chunk(b"VP8L", writer.finish() + bytes(8))


def extended(width: int, height: int, flags: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return chunk(b"VP8X", struct.pack("<I", flags) + sides)


def animation_frame(width: int, height: int, content: bytes) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return chunk(b"ANMF", bytes(6) + sides + (100).to_bytes(3, "little") + b"\0" + content)


def saved(image: Image.Image, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, "WEBP", method=0, **options)
    return file.getvalue()


def bombs() -> Iterator[tuple[str, bytes]]:
    for side in (4000, 4600, LARGE, LIMIT):
        yield f"lossless of one colour, {side}", webp(lossless(side, side))
    for transforms in ((PREDICTOR,), (PREDICTOR, COLOUR, SUBTRACT_GREEN)):
        for side in (4600, LARGE):
            yield (
                f"lossless with transforms {transforms}, {side}",
                webp(lossless(side, side, *transforms)),
            )
    for width, height in ((LIMIT, 1), (LIMIT, 3900)):
        yield f"lossless {width} x {height}", webp(lossless(width, height))
    yield from _lossy()
    yield from _animated()
    yield "EXIF", webp(extended(16, 16, 8), lossless(16, 16), chunk(b"EXIF", bomb_exif(60_000)))
    large_exif = chunk(b"EXIF", bomb_exif(60_000, 5_000_000))
    yield "EXIF of 5 MB", webp(extended(16, 16, 8), lossless(16, 16), large_exif)
    yield (
        "500,000 unknown chunks",
        webp(extended(16, 16, 0), chunk(b"teSt", b"") * 500_000, lossless(16, 16)),
    )


def _lossy() -> Iterator[tuple[str, bytes]]:
    flat = Image.new("RGB", (LARGE, LARGE), (90, 120, 200))
    yield "lossy of one colour", saved(flat, quality=0)
    ramp = Image.linear_gradient("L").resize((4400, 4400), Image.Resampling.NEAREST)
    rough = ImageChops.multiply(ramp.point(lambda value: value * 37 % 256), ramp.rotate(90))
    yield "lossy and rough", saved(rough.convert("RGB"), quality=60)
    clear = Image.new("RGBA", (4400, 4400), (90, 120, 200, 0))
    yield "lossy with alpha", saved(clear)
    header = b"\x10\x00\x00\x9d\x01\x2a" + struct.pack("<HH", LIMIT, LIMIT)
    yield "claims the largest lossy image", webp(chunk(b"VP8 ", header + bytes(1000)))


def _animated() -> Iterator[tuple[str, bytes]]:
    loop = chunk(b"ANIM", bytes(6))
    for side, count in ((16, 20_000), (4000, 50), (LARGE, 3)):
        frames = animation_frame(side, side, lossless(side, side)) * count
        yield f"{count:,} frames of {side}", webp(extended(side, side, 2), loop, frames)
    small = animation_frame(16, 16, lossless(16, 16))
    for side in (LARGE, LIMIT, 2**24):
        yield f"a small frame on a canvas of {side}", webp(extended(side, side, 2), loop, small)
    yield (
        "a still image that is larger than its canvas",
        webp(extended(16, 16, 0), lossless(LARGE, LARGE)),
    )
    yield (
        "a frame that is larger than its canvas",
        webp(extended(16, 16, 2), loop, animation_frame(16, 16, lossless(LARGE, LARGE))),
    )
