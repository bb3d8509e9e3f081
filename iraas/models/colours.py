"""Conversion of any colour mode to opaque RGB or grey of 8 bits."""

from __future__ import annotations

from math import ceil, floor, inf
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from iraas.decoding.bands import Region, bands, on_white, shrink_converted

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels; fractions of a pixel count."""

BITS_PER_SAMPLE_TAG: Final = 258
PHOTOMETRIC_TAG: Final = 262
MIN_IS_WHITE: Final = 0

PLAIN_MODES: Final = frozenset({"RGB", "RGBX", "L"})

_WHITE_LEVELS: Final = (1.0, 255.0, 65_535.0)


def plain_region(image: Image.Image, box: Box, shrink: int = 1) -> tuple[Image.Image, Box]:
    """The part of a loaded image that a box touches, in mode RGB (RGBX) or L.

    Transparent parts become white: cut-out images are made for a white page, and their invisible
    pixels are most often black. 16 bits are scaled to 8, not clipped. Numbers without a fixed range
    (32-bit integers, floats) have the range 0..1 (floats only), 0..255 or 0..65,535, whichever is
    the first to contain them all, and are stretched from their minimum to their maximum otherwise.

    Args:
        image: The image, loaded; it is not changed.
        box: The box, within the image.
        shrink: Pixels in each direction that may be averaged into one, at least 1; an image in a
            plain mode is not shrunk.

    Returns:
        An image that contains the box (the argument itself, if it needs no conversion), and the box
        in its coordinates.
    """
    if image.mode in PLAIN_MODES and "transparency" not in image.info:
        return image, box
    left, top, _, _ = region = floor(box[0]), floor(box[1]), ceil(box[2]), ceil(box[3])
    levels = _levels(image, region)

    def convert(band: Image.Image) -> Image.Image:
        if levels is None:
            return on_white(band)
        return Image.fromarray(_eight_bits(_numbers(band), image, levels))

    whole = shrink_converted(image, region, shrink, convert)
    x = [(edge - left) / shrink for edge in (box[0], box[2])]
    y = [(edge - top) / shrink for edge in (box[1], box[3])]
    return whole, (x[0], y[0], x[1], y[1])


def _levels(image: Image.Image, region: Region) -> tuple[float, float] | None:
    """The values of black and white in an image of numbers; None for an image of colours."""
    if image.mode.startswith("I;16"):
        bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE_TAG, (16,))[0]
        return 0.0, float((1 << min(bits, 16)) - 1)
    if image.mode not in {"I", "F"}:
        return None
    low, high = inf, -inf
    for band in bands(image, region):
        numbers = _numbers(band)
        low, high = min(low, float(numbers.min())), max(high, float(numbers.max()))
    whites = _WHITE_LEVELS if image.mode == "F" else _WHITE_LEVELS[1:]
    fitting = [white for white in whites if low >= 0 and high <= white]
    return (0.0, fitting[0]) if fitting else (low, high)


def _numbers(band: Image.Image) -> NDArray[np.float32]:
    numbers = np.asarray(band).astype(np.float32)
    np.nan_to_num(numbers, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return numbers


def _eight_bits(
    numbers: NDArray[np.float32], image: Image.Image, levels: tuple[float, float]
) -> NDArray[np.uint8]:
    black, white = levels
    numbers -= np.float32(black)
    numbers *= np.float32(255 / ((white - black) or 1))
    grey = np.clip(np.rint(numbers), 0, 255).astype(np.uint8)
    inverted = getattr(image, "tag_v2", {}).get(PHOTOMETRIC_TAG) == MIN_IS_WHITE
    return 255 - grey if inverted else grey
