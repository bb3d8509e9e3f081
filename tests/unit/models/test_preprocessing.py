"""Decoding and preprocessing of good images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from iraas.core.image_formats import ImageFormat
from iraas.decoding.limits import DEFAULT_LIMITS
from iraas.models.bundle import Preprocessing
from iraas.models.preprocessing import decode_image, prepare_pixels

if TYPE_CHECKING:
    from .conftest import Encode, Prepare

LITE0 = Preprocessing(size=224, crop_padding=32, resample="bicubic")
FORMATS = [one.value for one in ImageFormat]
LOSSY = {"JPEG", "WEBP", "GIF"}


def quarters(width: int = 96, height: int = 64) -> Image.Image:
    """Four quarters in four colours: every turn and flip of it looks different."""
    image = Image.new("RGB", (width, height), (230, 20, 20))
    image.paste((20, 200, 20), (width // 2, 0, width, height // 2))
    image.paste((20, 20, 230), (0, height // 2, width // 2, height))
    image.paste((240, 240, 240), (width // 2, height // 2, width, height))
    return image


def difference(one: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], other: object) -> float:
    return float(np.abs(one.astype(float) - np.asarray(other).astype(float)).mean())


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_format_gives_the_same_image(
    image_format: str, photos: list[tuple[Path, str, int]], encode: Encode
) -> None:
    photo = Image.open(photos[0][0]).convert("RGB")
    reference = prepare_pixels(encode(photo, "PNG"), LITE0)

    pixels = prepare_pixels(encode(photo, image_format), LITE0)

    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert difference(pixels, reference) <= (6 if image_format in LOSSY else 0)


def test_the_middle_square_is_taken_with_its_margin_cut_off(encode: Encode) -> None:
    image = Image.new("RGB", (400, 256), "black")
    image.paste("white", (400 // 2 - 112, 16, 400 // 2 + 112, 240))

    pixels = prepare_pixels(encode(image, "PNG"), LITE0)

    assert pixels.min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_exif_orientation_is_obeyed(
    image_format: str, orientation: int, encode: Encode, prepare: Prepare
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = quarters()
    stored.info["exif"] = exif.tobytes()
    upright = ImageOps.exif_transpose(stored)
    upright.info.pop("exif", None)

    pixels = prepare(encode(quarters(), image_format, exif=exif))

    assert difference(pixels, prepare(encode(upright, "PNG", exif=b""))) < 6


def test_broken_exif_does_not_fail_a_good_image(encode: Encode, prepare: Prepare) -> None:
    data = encode(quarters(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")

    assert difference(prepare(data), prepare(encode(quarters(), "PNG"))) < 6


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_turns_nothing(
    orientation: int, encode: Encode, prepare: Prepare
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation

    pixels = prepare(encode(quarters(), "PNG", exif=exif))

    assert difference(pixels, prepare(encode(quarters(), "PNG"))) == 0


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_counts(
    image_format: str, encode: Encode, prepare: Prepare
) -> None:
    first, second = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")

    pixels = prepare(encode(first, image_format, save_all=True, append_images=[second]))

    assert difference(pixels, np.broadcast_to((255, 0, 0), (32, 32, 3))) < 2


def test_a_phones_image_with_a_second_one_inside_is_a_jpeg(
    encode: Encode, prepare: Prepare
) -> None:
    data = encode(quarters(), "MPO", save_all=True, append_images=[Image.new("RGB", (96, 64))])

    assert difference(prepare(data), prepare(encode(quarters(), "PNG"))) < 6


def test_a_large_jpeg_is_shrunk_while_it_is_decoded(encode: Encode) -> None:
    data = encode(quarters(4000, 3000), "JPEG")

    image = decode_image(data, LITE0, DEFAULT_LIMITS)

    assert image.size == (500, 375)


def test_shrinking_while_decoding_changes_little(
    photos: list[tuple[Path, str, int]], encode: Encode
) -> None:
    large = Image.open(photos[1][0]).convert("RGB").resize((2000, 1500))

    shrunk = prepare_pixels(encode(large, "JPEG", quality=95), LITE0)

    assert difference(shrunk, prepare_pixels(encode(large, "PNG"), LITE0)) < 2


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 3), (257, 255)])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_odd_sizes_are_fine(
    size: tuple[int, int], image_format: str, encode: Encode, prepare: Prepare
) -> None:
    pixels = prepare(encode(Image.new("RGB", size, (10, 200, 30)), image_format))

    assert difference(pixels, np.broadcast_to((10, 200, 30), (32, 32, 3))) < 2


def test_a_progressive_jpeg_is_read(encode: Encode, prepare: Prepare) -> None:
    data = encode(quarters(), "JPEG", progressive=True)

    assert difference(prepare(data), prepare(encode(quarters(), "JPEG"))) < 1
