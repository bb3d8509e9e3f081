"""JPEG files that try to cost memory or time. Source of the structure: ITU-T T.81, annex B."""

import struct
from collections.abc import Iterator

from bomb_exif import bomb_exif

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
BASELINE, PROGRESSIVE, ARITHMETIC, ARITHMETIC_PROGRESSIVE = 0xC0, 0xC2, 0xC9, 0xCA
LOSSLESS = 0xC3
LARGE = 8000

# One code of one bit for each table: no difference for DC, end of block for AC.
_TABLES = b"".join(
    b"\xff\xc4" + struct.pack(">HB", 20, table) + bytes([1]) + bytes(15) + bytes([symbol])
    for table, symbol in ((0x00, 0), (0x10, 0))
)
# For refinement: one code of one bit that says "16,384 to 32,767 blocks end here".
_RUN_TABLE = b"\xff\xc4" + struct.pack(">HB", 20, 0x10) + bytes([1]) + bytes(15) + b"\xe0"
_QUANTISATION = b"\xff\xdb" + struct.pack(">HB", 67, 0) + bytes([1]) * 64


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def frame(
    width: int, height: int, process: int = BASELINE, sampling: tuple[int, ...] = (0x11,) * 3
) -> bytes:
    components = b"".join(bytes([index + 1, how, 0]) for index, how in enumerate(sampling))
    size = struct.pack(">BHHB", 8, height, width, len(sampling))
    return _QUANTISATION + _TABLES + segment(process, size + components)


def scan(
    *components: int, first: int = 0, last: int = 63, bits: int = 0, data: bytes = b"\0"
) -> bytes:
    chosen = b"".join(bytes([index + 1, 0]) for index in components)
    head = bytes([len(components)]) + chosen + bytes([first, last, bits])
    return segment(0xDA, head) + data


def jpeg(*parts: bytes) -> bytes:
    return SOI + b"".join(parts) + EOI


def _tiny(*before_frame: bytes) -> bytes:
    return jpeg(*before_frame, frame(16, 16), scan(0, 1, 2))


def bombs() -> Iterator[tuple[str, bytes]]:
    yield from _repeated_scans()
    yield from _progressive()
    yield from _restarts()
    yield from _arithmetic()
    yield from _floods()
    yield from _sizes()
    yield from _metadata()


def _repeated_scans() -> Iterator[tuple[str, bytes]]:
    rest = scan(1) + scan(2)
    for side in (4000, LARGE):
        for count in (100, 1000, 20_000):
            name = f"{count:,} baseline scans of one component, {side} x {side}"
            yield name, jpeg(frame(side, side), scan(0) * count, rest)
    for count in (100, 5_000):
        name = f"{count:,} baseline scans of three components"
        yield name, jpeg(frame(5000, 5000), scan(0), scan(0, 1, 2) * count)
    blocks = bytes(5000 * 5000 // 64 * 2 // 8)
    for count in (60, 200):
        yield (
            f"{count} baseline scans that are full",
            jpeg(frame(5000, 5000), scan(0, data=blocks) * count, rest),
        )
    yield "2,000 scans of a grey image", jpeg(frame(LARGE, LARGE, sampling=(0x11,)), scan(0) * 2000)


def _progressive() -> Iterator[tuple[str, bytes]]:
    start = scan(0, 1, 2, last=0)
    run = bytes.fromhex("5554 aaa9 5552 aaa5 554a aa95 552a aa") * 40
    for side, count in ((4000, 90), (LARGE, 90), (LARGE, 3000)):
        head = frame(side, side, PROGRESSIVE)
        yield f"{count:,} DC scans, {side}", jpeg(head, start * count)
        yield f"{count:,} AC scans, {side}", jpeg(head, start, scan(0, first=1) * count)
        refine = scan(0, first=1, bits=0x10, data=run)
        yield f"{count:,} refinements, {side}", jpeg(head, start, _RUN_TABLE, refine * count)
        one = scan(0, first=1, last=1, data=run)
        yield (
            f"{count:,} scans of a coefficient, {side}",
            jpeg(head, start, _RUN_TABLE, one * count),
        )


def _restarts() -> Iterator[tuple[str, bytes]]:
    every_block = segment(0xDD, b"\0\1")
    data = b"".join(b"\0" + bytes([0xFF, 0xD0 + index % 8]) for index in range(1_000_000))
    yield "a million restarts", jpeg(frame(LARGE, LARGE), every_block, scan(0, 1, 2, data=data))
    for count in (5, 100):
        scans = scan(0, data=data[:300_000]) * count
        yield f"{count} scans with restarts", jpeg(frame(4000, 4000), every_block, scans)
    yield "restarts and no data", jpeg(frame(4000, 4000), every_block, scan(0) * 90)


def _arithmetic() -> Iterator[tuple[str, bytes]]:
    for process in (ARITHMETIC, ARITHMETIC_PROGRESSIVE):
        last = 63 if process == ARITHMETIC else 0
        head = frame(LARGE, LARGE, process)
        yield f"arithmetic {process:x}", jpeg(head, scan(0, 1, 2, last=last, data=bytes(64)))
        head = frame(4000, 4000, process)
        more = scan(0, last=last, data=bytes(64)) * 50
        yield f"arithmetic {process:x}, 50 scans", jpeg(head, scan(0, 1, 2, last=last), more)
    yield "lossless", jpeg(frame(LARGE, LARGE, LOSSLESS), scan(0, 1, 2, first=1, last=0))


def _floods() -> Iterator[tuple[str, bytes]]:
    yield "a million comments", _tiny(segment(0xFE, b"") * 1_000_000)
    yield "200,000 application segments", _tiny(segment(0xE5, b"1234") * 200_000)
    yield "200,000 tables", _tiny(_TABLES * 100_000)
    yield "5 MB of fill bytes", _tiny(b"\xff" * 5_000_000)
    yield "5 MB between the segments", _tiny(segment(0xE5, b""), b"\1" * 5_000_000)
    yield "a million restart markers in the head", _tiny(b"\xff\xd0" * 1_000_000)
    yield "200,000 scans of a small image", jpeg(frame(16, 16), scan(0) * 200_000)
    yield "5 MB behind the scan", jpeg(frame(16, 16), scan(0, 1, 2), b"\xff\xfe\0\2" * 1_250_000)


def _sizes() -> Iterator[tuple[str, bytes]]:
    for width, height in ((65_500, 65_500), (65_500, 976), (976, 65_500)):
        yield f"{width} x {height}", jpeg(frame(width, height), scan(0, 1, 2))
    for sampling in ((0x11,), (0x11,) * 4, (0x44, 0x11, 0x11), (0x11, 0x44, 0x44)):
        head = frame(LARGE, LARGE, PROGRESSIVE, sampling)
        every = tuple(range(len(sampling)))
        yield f"progressive with sampling {sampling}", jpeg(head, scan(*every, last=0))
    yield "separate scans, large", jpeg(frame(LARGE, LARGE), scan(0), scan(1), scan(2))


def _metadata() -> Iterator[tuple[str, bytes]]:
    for entries in (2700, 5000):
        yield f"EXIF of {entries} entries", _tiny(segment(0xE1, b"Exif\0\0" + bomb_exif(entries)))
    pieces = [bomb_exif(4000), *(bytes(60_000) for _ in range(20))]
    split = b"".join(segment(0xE1, b"Exif\0\0" + piece) for piece in pieces)
    yield "EXIF in 21 segments", _tiny(split)
    yield "multi-picture index", _tiny(segment(0xE2, b"MPF\0" + bomb_exif(2700)))
