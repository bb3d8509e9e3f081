"""Whatever colours a picture is stored in, as plain RGB or grey of 8 bits, and opaque."""

from math import ceil, floor
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels; the parts of a pixel count."""

BITS_PER_SAMPLE_TAG: Final = 258
PHOTOMETRIC_TAG: Final = 262
MIN_IS_WHITE: Final = 0

_WHITE_LEVELS: Final = (1.0, 255.0, 65_535.0)
_NO_WHITE: Final = 0.0


def plain_region(image: Image.Image, box: Box) -> tuple[Image.Image, Box]:
    """The part of a loaded picture that a box touches, in mode RGB or L.

    Transparent parts become white: cut-out pictures are made to be seen on a page, and their
    invisible pixels are most often black, which would be a picture nobody meant. 16 bits are
    scaled to 8, not clipped. Numbers without a fixed range (32-bit integers, floats) are taken as
    0..1 (floats), 0..255 or 0..65,535, whichever first holds them all, and are stretched
    from their least to their greatest otherwise.

    Args:
        image: The picture, loaded; it is not changed.
        box: Within the picture.

    Returns:
        A picture that holds the box (the one given, where nothing had to be changed), and the box
        in its coordinates.
    """
    if image.mode in {"RGB", "L"} and "transparency" not in image.info:
        return image, box
    left, top = floor(box[0]), floor(box[1])
    region = image.crop((left, top, ceil(box[2]), ceil(box[3])))
    return _plain(region, image), (box[0] - left, box[1] - top, box[2] - left, box[3] - top)


def _plain(region: Image.Image, image: Image.Image) -> Image.Image:
    if region.mode in {"I", "F"} or region.mode.startswith("I;"):
        return Image.fromarray(_eight_bits(np.asarray(region), image))
    if region.has_transparency_data:
        straight = {"La": "LA", "RGBa": "RGBA"}.get(region.mode)
        visible = region.convert(straight) if straight else region
        if visible.mode != "RGBA":
            visible = visible.convert("RGBA")
        page = Image.new("RGB", visible.size, "white")
        page.paste(visible, mask=visible.getchannel("A"))
        return page
    return region.convert("L" if region.mode == "1" else "RGB")


def _eight_bits(values: "NDArray[np.generic]", image: Image.Image) -> "NDArray[np.uint8]":
    tags = getattr(image, "tag_v2", {})
    numbers = values.astype(np.float32)
    if values.dtype.kind == "u":
        bits = tags.get(BITS_PER_SAMPLE_TAG, (16,))[0]
        black, white = 0.0, float((1 << min(bits, 16)) - 1)
    else:
        np.nan_to_num(numbers, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        black, white = _range_of(numbers, whole=values.dtype.kind == "i")
    # In place: these arrays are as large as the picture, with 4 bytes a pixel.
    numbers -= np.float32(black)
    numbers *= np.float32(255 / ((white - black) or 1))
    np.clip(np.rint(numbers, out=numbers), 0, 255, out=numbers)
    grey = numbers.astype(np.uint8)
    return 255 - grey if tags.get(PHOTOMETRIC_TAG) == MIN_IS_WHITE else grey


def _range_of(numbers: "NDArray[np.float32]", *, whole: bool) -> tuple[float, float]:
    low, high = float(numbers.min()), float(numbers.max())
    levels = _WHITE_LEVELS[1:] if whole else _WHITE_LEVELS
    white = next((level for level in levels if low >= 0 and high <= level), _NO_WHITE)
    return (0.0, white) if white else (low, high)
