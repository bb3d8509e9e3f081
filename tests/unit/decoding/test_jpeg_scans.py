"""JPEG scans are counted where a decoder finds them."""

from __future__ import annotations

from io import BytesIO

import pytest
from bomb_jpeg import EOI, frame, jpeg, scan, segment
from PIL import Image

from iraas.decoding.failures import image_errors
from iraas.decoding.jpeg_cost import jpeg_cost
from iraas.decoding.jpeg_markers import iter_scans, read_header
from iraas.decoding.limits import DEFAULT_MAX_CPU_S, DecodeLimits
from iraas.decoding.opening import load_image
from iraas.errors import BrokenImageError, ImageTooLargeError

MARKERS = scan(0) * 200


def count_scans(data: bytes) -> int:
    return sum(1 for _ in iter_scans(data, read_header(data)))


def load(data: bytes) -> Image.Image:
    with image_errors(data):
        return load_image(data, DecodeLimits(), shrink_to=256)


def encoded(image: Image.Image, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def test_scans_in_metadata_and_behind_the_end_do_not_count() -> None:
    data = jpeg(segment(0xE5, MARKERS), frame(64, 64), scan(0, 1, 2)) + MARKERS

    assert count_scans(data) == 1


def test_scans_behind_tables_restarts_and_stuffed_bytes_count() -> None:
    stuffed = b"\1\xff\x00\xda\xff\xd0\2\xff\xff\xd1\3"
    parts = [scan(0, data=stuffed), segment(0xC4, b""), scan(1, data=stuffed), b"\xff", scan(2)]

    assert count_scans(jpeg(frame(64, 64), *parts)) == 3


def test_scans_of_a_file_without_an_end_count() -> None:
    assert count_scans(jpeg(frame(64, 64), scan(0), scan(1)).removesuffix(EOI)) == 2


def test_a_baseline_jpeg_of_repeated_scans_is_refused() -> None:
    bomb = jpeg(frame(5000, 5000), scan(0) * 20_000, scan(1), scan(2))

    with pytest.raises(ImageTooLargeError, match="CPU time"):
        load(bomb)


@pytest.mark.parametrize("side", [64, 1000, 4000])
def test_a_progressive_jpeg_of_thirty_scans_is_read(side: int) -> None:
    first = scan(0, 1, 2, last=0)
    more = b"".join(scan(index % 3, first=1 + index, last=2 + index) for index in range(29))

    assert load(jpeg(frame(side, side, 0xC2), first, more)).size[0] >= 64


def test_a_progressive_jpeg_with_another_behind_it_is_read() -> None:
    data = encoded(Image.new("RGB", (300, 200), "red"), progressive=True)

    assert load(data + data * 100).size == (300, 200)


def test_the_precise_count_is_no_higher_than_the_quick_bound() -> None:
    data = encoded(Image.radial_gradient("L").convert("RGB"), progressive=True)
    header = read_header(data)

    quick = jpeg_cost(data, header, 65_536, DEFAULT_MAX_CPU_S)
    precise = jpeg_cost(data, header, 65_536, max_cpu_s=0.02)

    assert precise.cpu_s <= quick.cpu_s


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (segment(0xFE, b"") * 6_000, "5,000 segments"),
        (b"\xff" * 100_000, "no marker"),
        (segment(0xE5, b"") + b"\1" * 100_000, "no marker"),
        (segment(0xE1, b"Exif\0\0" + bytes(60_000)) * 200, "bytes of EXIF"),
        (segment(0xDB, bytes(60_000)) * 2, "quantisation"),
    ],
)
def test_a_head_that_takes_long_to_read_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BrokenImageError, match=reason):
        load(jpeg(data, frame(16, 16), scan(0, 1, 2)))
