"""GIF files that try to cost memory or time. Source of the structure: GIF89a."""

import struct
from collections.abc import Iterator

LARGE = 8000
TRAILER = b";"
PALETTE = bytes(768)


def sub_blocks(data: bytes) -> bytes:
    parts = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


class BitWriter:
    """Packs codes from the low bit on."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._bits = self._count = 0

    def write(self, code: int, width: int) -> None:
        """Add a code of so many bits."""
        self._bits |= code << self._count
        self._count += width
        while self._count >= 8:
            self.data.append(self._bits & 0xFF)
            self._bits >>= 8
            self._count -= 8

    def finish(self) -> bytes:
        """All bytes; the last is filled up with zeros."""
        if self._count:
            self.data.append(self._bits)
        return bytes(self.data)


def long_runs(pixels: int) -> bytes:
    """The shortest LZW data for so many equal pixels: each code is one pixel longer than the last.

    After the table is full its longest string is repeated.
    """
    writer = BitWriter()
    clear, end, width, table = 256, 257, 9, 258
    writer.write(clear, width)
    writer.write(0, width)
    done, length = 1, 1
    while done < pixels:
        if table < 4096:
            code, length, table = table, length + 1, table + 1
            if table == 1 << width and width < 12:
                writer.write(code, width)
                width += 1
                done += length
                continue
        else:
            code = 4095
        writer.write(code, width)
        done += length
    writer.write(end, width)
    return writer.finish()


def short_codes(pixels: int) -> bytes:
    """LZW data that spends a clear code on each pixel."""
    writer = BitWriter()
    for _ in range(pixels):
        writer.write(256, 9)
        writer.write(0, 9)
    writer.write(257, 9)
    return writer.finish()


def screen(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + PALETTE


def image(
    width: int, height: int, data: bytes, *, flags: int = 0, left: int = 0, local: bytes = b""
) -> bytes:
    head = b"," + struct.pack("<HHHHB", left, 0, width, height, flags)
    return head + local + b"\x08" + sub_blocks(data)


def control(disposal: int, *, transparent: bool) -> bytes:
    return b"!\xf9\x04" + struct.pack("<BHBB", disposal << 2 | transparent, 1, 1, 0)


def bombs() -> Iterator[tuple[str, bytes]]:
    full = long_runs(LARGE * LARGE)
    yield "long runs", screen(LARGE, LARGE) + image(LARGE, LARGE, full) + TRAILER
    yield "long runs, interlaced", screen(LARGE, LARGE) + image(LARGE, LARGE, full, flags=0x40)
    local = image(LARGE, LARGE, full, flags=0x87, local=bytes(range(256)) * 3)
    yield "long runs with a local palette", screen(LARGE, LARGE) + local + TRAILER
    for disposal in (1, 2, 3):
        seen = control(disposal, transparent=True) + image(LARGE, LARGE, full)
        yield f"transparent, disposal {disposal}", screen(LARGE, LARGE) + seen * 3 + TRAILER
    tiny = long_runs(16 * 16)
    frames = (control(2, transparent=True) + image(16, 16, tiny)) * 50_000
    yield "50,000 frames", screen(16, 16) + frames + TRAILER
    yield "50,000 frames on a large canvas", screen(LARGE, LARGE) + frames + TRAILER
    for width, height in ((65_535, 65_535), (65_535, 976), (976, 65_535)):
        yield f"{width} x {height}", screen(width, height) + image(width, height, tiny) + TRAILER
    yield "a frame beyond its canvas", screen(16, 16) + image(60_000, 60_000, tiny) + TRAILER
    yield (
        "a clear code for each pixel",
        screen(300, 300) + image(300, 300, short_codes(90_000)),
    )
    clears = b"\x00\x03\x06\x0c\x18\x30\x60\xc0\x80" * 500_000
    yield "4.5 MB of clear codes", screen(LARGE, LARGE) + image(LARGE, LARGE, clears)
    yield (
        "bytes of one",
        screen(2000, 2000)
        + b","
        + struct.pack("<HHHHB", 0, 0, 2000, 2000, 0)
        + (b"\x08" + b"\1\0" * 2_000_000),
    )
    yield from _floods(tiny)


def _floods(tiny: bytes) -> Iterator[tuple[str, bytes]]:
    seen = image(16, 16, tiny) + TRAILER
    yield "a comment of 5 MB", screen(16, 16) + b"!\xfe" + sub_blocks(b"a" * 5_000_000) + seen
    short = b"\1a" * 1_000_000 + b"\0"
    yield "a comment of a million blocks", screen(16, 16) + b"!\xfe" + short + seen
    yield "200,000 comments", screen(16, 16) + b"!\xfe\1a\0" * 200_000 + seen
    application = b"!\xff\x0bXMP DataXMP"
    yield "an application of a million blocks", screen(16, 16) + application + short + seen
    yield "500,000 controls", screen(16, 16) + control(1, transparent=False) * 500_000 + seen
    yield "5 MB of zeros before the image", screen(16, 16) + bytes(5_000_000) + seen
    yield "extensions without a block", screen(16, 16) + b"!\1\0" * 1_000_000 + seen
