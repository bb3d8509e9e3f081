"""Hostile bytes: each ends in an ImageError with a reason, quickly and in little memory."""

from __future__ import annotations

import struct
import subprocess
import sys
import textwrap
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from iraas.core.image_formats import ImageFormat
from iraas.errors import BrokenImageError, ImageError, ImageTooLargeError, NotAnImageError
from tests.waiting import PATIENCE_S

from .conftest import SIZE, png_chunk

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Encode, MakePng, MakeTiff, Prepare

BOMB_SIDES = (13_000, 13_077)


def noise(width: int = 96, height: int = 64) -> Image.Image:
    pixels = np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def webp_canvas(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + sides
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


@pytest.mark.parametrize("image_format", [one.value for one in ImageFormat])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9, 0.97])
def test_a_truncated_file_is_an_error_and_not_half_an_image(
    image_format: str, kept: float, encode: Encode, prepare: Prepare
) -> None:
    data = encode(noise(), image_format)

    with pytest.raises(BrokenImageError, match=f"broken {image_format}"):
        prepare(data[: int(len(data) * kept)])


def test_a_truncated_large_jpeg_is_an_error_though_it_is_shrunk(
    encode: Encode, prepare: Prepare
) -> None:
    data = encode(noise(1600, 1200), "JPEG")

    with pytest.raises(BrokenImageError, match="truncated"):
        prepare(data[: len(data) // 2])


@pytest.mark.parametrize("image_format", [one.value for one in ImageFormat])
def test_a_file_that_ends_anywhere_in_its_header_is_an_error(
    image_format: str, encode: Encode, prepare: Prepare
) -> None:
    data = encode(noise(), image_format)

    for length in range(60):
        with pytest.raises(ImageError):
            prepare(data[:length])


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"not an image at all", "known format"), (b"\0" * 5000, "known format")],
)
def test_a_file_that_is_no_image_is_an_error(data: bytes, reason: str, prepare: Prepare) -> None:
    with pytest.raises(NotAnImageError, match=reason):
        prepare(data)


@pytest.mark.parametrize("image_format", ["PPM", "ICO", "TGA", "PCX", "ICNS", "EPS", "JPEG2000"])
def test_pillows_other_decoders_are_out_of_reach(
    image_format: str, encode: Encode, prepare: Prepare
) -> None:
    with pytest.raises(NotAnImageError):
        prepare(encode(noise(32, 32), image_format))


def test_a_file_with_another_formats_head_is_broken(encode: Encode, prepare: Prepare) -> None:
    with pytest.raises(BrokenImageError):
        prepare(b"GIF89a" + encode(noise(), "PNG"))


@pytest.fixture(scope="module")
def bombs(make_png: MakePng) -> dict[str, bytes]:
    """Small files that unpack to a hundred megabytes and more."""
    width, height = BOMB_SIDES
    long_text = b"name\0\0" + zlib.compress(bytes(100_000_000))
    return {
        "png": make_png(width, height, bytes((width + 1) * height)),
        "webp": webp_canvas(16_000, 16_000),
        "png text": make_png(8, 8, bytes(9 * 8), png_chunk(b"zTXt", long_text)),
        "png profile": make_png(8, 8, bytes(9 * 8), png_chunk(b"iCCP", long_text)),
    }


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("png", ImageTooLargeError, r"13,000 x 13,077.*64,000,000"),
        ("webp", ImageTooLargeError, "16,000 x 16,000"),
        ("png text", BrokenImageError, "PNG.*decompressed|too large"),
        ("png profile", BrokenImageError, "PNG.*decompressed|too large"),
    ],
)
def test_a_bomb_is_refused(
    name: str, error: type[ImageError], reason: str, bombs: dict[str, bytes], prepare: Prepare
) -> None:
    with pytest.raises(error, match=reason):
        prepare(bombs[name])


@pytest.mark.parametrize("name", ["png", "webp", "png text", "png profile"])
def test_a_bomb_is_refused_before_it_is_unpacked(
    name: str, bombs: dict[str, bytes], tmp_path: Path
) -> None:
    """A refused bomb takes no memory."""
    path = tmp_path / "bomb"
    path.write_bytes(bombs[name])
    script = """
        import sys
        from pathlib import Path
        from iraas.models.bundle import Preprocessing
        from iraas.models.preprocessing import prepare_pixels
        from iraas.errors import ImageError

        def peak_kb():
            return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

        data = Path(sys.argv[1]).read_bytes()
        before = peak_kb()
        try:
            prepare_pixels(data, Preprocessing(32, 0, "bicubic"))
        except ImageError:
            print(peak_kb() - before)
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), path],
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
    )

    assert int(done.stdout) < 10_000


@pytest.mark.parametrize("sides", [(100_000, 100_000), (2_000_000_000, 2)])
def test_an_image_far_over_pillows_own_limit_is_too_large(
    sides: tuple[int, int], prepare: Prepare, make_png: MakePng
) -> None:
    with pytest.raises(ImageTooLargeError, match="too many pixels"):
        prepare(make_png(*sides, b""))


def test_the_caller_sets_the_limit(prepare: Prepare, encode: Encode) -> None:
    data = encode(noise(100, 50), "PNG")

    assert prepare(data, max_pixels=5_000).shape == (SIZE, SIZE, 3)
    with pytest.raises(ImageTooLargeError, match="100 x 50, the limit is 4,999"):
        prepare(data, max_pixels=4_999)


def test_between_pillows_warning_and_our_limit_there_is_no_warning(
    prepare: Prepare, make_png: MakePng
) -> None:
    with pytest.raises(BrokenImageError):
        prepare(make_png(10_000, 10_000, b""), max_pixels=150_000_000)


def test_the_size_of_every_kind_of_webp_is_read(encode: Encode, prepare: Prepare) -> None:
    lossy = encode(noise(300, 200), "WEBP")
    lossless = encode(noise(300, 200), "WEBP", lossless=True)
    extended = encode(noise(300, 200), "WEBP", exif=Image.Exif().tobytes())

    for data in (lossy, lossless, extended):
        with pytest.raises(ImageTooLargeError, match="300 x 200"):
            prepare(data, max_pixels=50_000)


def test_a_tiff_of_enormous_tiles_is_refused(make_tiff: MakeTiff, prepare: Prepare) -> None:
    data = make_tiff(16, 16, 8, bytes(256), tag_322=60_000, tag_323=60_000)

    with pytest.raises(ImageTooLargeError, match="tiles"):
        prepare(data)


def test_a_jpeg_of_thousands_of_scans_is_refused(encode: Encode, prepare: Prepare) -> None:
    data = encode(Image.new("RGB", (1024, 1024)), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    scan, end = data[start:-2], data[-2:]

    with pytest.raises(ImageTooLargeError, match=r"s of CPU time or more, the limit is 1\.2 s"):
        prepare(data[:start] + scan * 10_000 + end)
