"""Images of every colour mode are converted to the RGB that a person sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .conftest import Encode, MakeTiff, Prepare

BRICK = (200, 60, 40)
ROWS = np.linspace(0, 1, 64, dtype=np.float64)[:, None].repeat(64, axis=1)
"""A ramp from 0 at the top to 1 at the bottom."""


def ramp_as_prepared() -> NDArray[np.float64]:
    """The 32 x 32 input of any ramp that is read correctly."""
    return (ROWS[0::2, 0::2] + ROWS[1::2, 0::2]) / 2 * 255


def assert_ramp(pixels: NDArray[np.uint8]) -> None:
    for channel in range(3):
        assert np.abs(pixels[..., channel] - ramp_as_prepared()).max() < 4


def assert_colour(
    pixels: NDArray[np.uint8], colour: tuple[int, int, int], tolerance: int = 3
) -> None:
    assert np.abs(pixels.astype(int) - np.array(colour)).max() <= tolerance


@pytest.mark.parametrize(
    ("mode", "image_format"),
    [
        ("RGB", "PNG"),
        ("RGBA", "PNG"),
        ("RGBA", "WEBP"),
        ("RGBA", "TIFF"),
        ("RGBA", "BMP"),
        ("P", "PNG"),
        ("P", "GIF"),
        ("P", "BMP"),
        ("P", "TIFF"),
        ("PA", "TIFF"),
        ("CMYK", "JPEG"),
        ("CMYK", "TIFF"),
        ("YCbCr", "JPEG"),
        ("YCbCr", "TIFF"),
        ("LAB", "TIFF"),
    ],
)
def test_a_colour_survives_its_mode(
    mode: str, image_format: str, encode: Encode, prepare: Prepare
) -> None:
    image = Image.new("RGB", (40, 40), BRICK)
    image = image.quantize().convert(mode) if mode in {"P", "PA"} else image.convert(mode)

    assert_colour(prepare(encode(image, image_format)), BRICK, tolerance=8)


@pytest.mark.parametrize(
    ("mode", "image_format"),
    [("L", "JPEG"), ("L", "PNG"), ("LA", "PNG"), ("L", "TIFF"), ("L", "GIF"), ("L", "BMP")],
)
def test_grey_is_grey(mode: str, image_format: str, encode: Encode, prepare: Prepare) -> None:
    image = Image.new("L", (40, 40), 90).convert(mode)

    assert_colour(prepare(encode(image, image_format)), (90, 90, 90))


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "GIF"])
def test_one_bit_images_are_smoothed_and_not_sampled(
    image_format: str, encode: Encode, prepare: Prepare
) -> None:
    checks = np.indices((128, 128)).sum(axis=0) % 2 * 255
    image = Image.fromarray(checks.astype(np.uint8)).convert("1")

    assert_colour(prepare(encode(image, image_format)), (127, 127, 127), tolerance=12)


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(
    image_format: str, encode: Encode, prepare: Prepare
) -> None:
    image = Image.fromarray((ROWS * 65_535).astype(np.uint16))

    assert_ramp(prepare(encode(image, image_format)))


def test_big_endian_sixteen_bits_are_scaled(encode: Encode, prepare: Prepare) -> None:
    numbers = (ROWS * 65_535).astype(">u2")
    image = Image.frombytes("I;16B", (64, 64), numbers.tobytes())

    assert_ramp(prepare(encode(image, "TIFF")))


def test_twelve_bits_reach_white(make_tiff: MakeTiff, prepare: Prepare) -> None:
    full = make_tiff(4, 4, 12, b"\xff" * 24)

    assert_colour(prepare(full), (255, 255, 255))


def test_sixteen_bits_with_white_as_zero_are_inverted(
    make_tiff: MakeTiff, prepare: Prepare
) -> None:
    numbers = ((1 - ROWS) * 65_535).astype("<u2")

    assert_ramp(prepare(make_tiff(64, 64, 16, numbers.tobytes(), photometric=0)))


@pytest.mark.parametrize("white", [1.0, 255.0, 65_535.0])
def test_floats_are_taken_in_the_range_that_holds_them(
    white: float, encode: Encode, prepare: Prepare
) -> None:
    image = Image.fromarray((ROWS * white).astype(np.float32))

    assert_ramp(prepare(encode(image, "TIFF")))


@pytest.mark.parametrize("white", [255, 65_535])
def test_whole_numbers_are_taken_in_the_range_that_holds_them(
    white: int, encode: Encode, prepare: Prepare
) -> None:
    image = Image.fromarray((ROWS * white).astype(np.int32))

    assert_ramp(prepare(encode(image, "TIFF")))


def test_numbers_in_no_usual_range_are_stretched(encode: Encode, prepare: Prepare) -> None:
    heights = Image.fromarray((ROWS * 9_000 - 4_000).astype(np.float32))

    assert_ramp(prepare(encode(heights, "TIFF")))


def test_nan_and_infinity_are_black(encode: Encode, prepare: Prepare) -> None:
    numbers = np.full((64, 64), np.nan, dtype=np.float32)
    numbers[:32] = np.inf

    assert_colour(prepare(encode(Image.fromarray(numbers), "TIFF")), (0, 0, 0))


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF"])
def test_transparent_pixels_are_white(image_format: str, encode: Encode, prepare: Prepare) -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))

    assert_colour(prepare(encode(image, image_format)), (255, 255, 255))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_half_transparent_pixels_are_half_white(
    mode: str, encode: Encode, prepare: Prepare
) -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 128)).convert(mode)

    assert_colour(prepare(encode(image, "PNG")), (127, 127, 127))


@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
def test_a_palettes_transparent_colour_is_white(
    image_format: str, encode: Encode, prepare: Prepare
) -> None:
    image = Image.new("P", (40, 40), 1)
    image.putpalette([9, 9, 9, 200, 60, 40])

    data = encode(image, image_format, transparency=1)

    assert_colour(prepare(data), (255, 255, 255))


@pytest.mark.parametrize(("mode", "key"), [("RGB", BRICK), ("L", 90), ("1", 0)])
def test_a_transparent_colour_without_alpha_is_white(
    mode: str, key: int | tuple[int, ...], encode: Encode, prepare: Prepare
) -> None:
    data = encode(Image.new(mode, (40, 40), key), "PNG", transparency=key)

    assert_colour(prepare(data), (255, 255, 255))


def test_invisible_colours_do_not_bleed_into_visible_ones(encode: Encode, prepare: Prepare) -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (0, 0, 32, 64))

    assert_colour(prepare(encode(image, "PNG")), (255, 255, 255))


def test_a_large_cut_out_image_looks_like_its_small_copy(encode: Encode, prepare: Prepare) -> None:
    small = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    small.paste((*BRICK, 255), (16, 8, 40, 56))
    large = small.resize((1_920, 1_920), Image.Resampling.NEAREST)

    difference = prepare(encode(large, "PNG")).astype(int) - prepare(encode(small, "PNG"))

    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-4_000.0, 5_000.0)])
def test_a_large_image_of_numbers_has_one_range(
    low: float, high: float, encode: Encode, prepare: Prepare
) -> None:
    numbers = np.repeat(np.repeat(ROWS * (high - low) + low, 30, axis=0), 30, axis=1)

    assert_ramp(prepare(encode(Image.fromarray(numbers.astype(np.float32)), "TIFF")))
