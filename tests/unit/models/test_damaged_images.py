"""Any damaged file gives an image or an error with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iraas.decoding.limits import DecodeLimits
from iraas.errors import BrokenImageError, ImageError
from iraas.models.preprocessing import prepare_pixels

from .conftest import SIZE, SMALL_INPUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Encode, Prepare


def noise(width: int = 96, height: int = 64) -> Image.Image:
    pixels = np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_a_reason_is_one_short_line_without_addresses(encode: Encode, prepare: Prepare) -> None:
    with pytest.raises(BrokenImageError) as caught:
        prepare(encode(noise(), "TIFF")[:300])

    reason = str(caught.value)
    assert "\n" not in reason
    assert len(reason) < 200
    assert "BytesIO" not in reason


@pytest.fixture(scope="session")
def originals(encode: Encode) -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    small = noise(48, 40)
    return {
        "JPEG": encode(small, "JPEG", exif=exif),
        "progressive": encode(small, "JPEG", progressive=True),
        "CMYK": encode(small.convert("CMYK"), "JPEG"),
        "PNG": encode(small, "PNG", exif=exif),
        "palette": encode(small.convert("P"), "PNG", transparency=3),
        "WEBP": encode(small, "WEBP", exif=exif),
        "GIF": encode(small, "GIF"),
        "BMP": encode(small, "BMP"),
        "TIFF": encode(small, "TIFF"),
        "TIFF LZW": encode(small, "TIFF", compression="tiff_lzw"),
    }


Damage = list[tuple[float, int]]


def damaged(data: bytes, damage: Damage, kept: float) -> bytes:
    broken = bytearray(data)
    for position, value in damage:
        # Half of the damage goes into the first 100 bytes, where the headers are.
        reach = 100 if value % 2 else len(broken)
        broken[int(position * (min(reach, len(broken)) - 1))] = value
    return bytes(broken[: max(1, int(len(broken) * kept))])


damage_lists = st.lists(
    st.tuples(st.floats(0, 1, allow_nan=False), st.integers(0, 255)), min_size=1, max_size=12
)


@pytest.mark.parametrize(
    "kind",
    ["JPEG", "progressive", "CMYK", "PNG", "palette", "WEBP", "GIF", "BMP", "TIFF", "TIFF LZW"],
)
def test_damage_gives_pixels_or_an_image_error(kind: str, originals: dict[str, bytes]) -> None:
    @settings(max_examples=60, deadline=None)
    @given(damage=damage_lists, kept=st.sampled_from([1.0, 1.0, 1.0, 0.7]))
    def try_one(damage: Damage, kept: float) -> None:
        assert_pixels_or_image_error(damaged(originals[kind], damage, kept))

    run: Callable[[], None] = try_one
    run()


@pytest.mark.parametrize(
    "head", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0"]
)
def test_garbage_after_a_known_head_is_an_image_error(head: bytes) -> None:
    @settings(max_examples=40, deadline=None)
    @given(rest=st.binary(max_size=300))
    def try_one(rest: bytes) -> None:
        assert_pixels_or_image_error(head + rest)

    run: Callable[[], None] = try_one
    run()


def assert_pixels_or_image_error(data: bytes) -> None:
    try:
        pixels = prepare_pixels(data, SMALL_INPUT, DecodeLimits(max_pixels=1_000_000))
    except ImageError:
        return
    assert pixels.shape == (SIZE, SIZE, 3)
    assert pixels.dtype == np.uint8
