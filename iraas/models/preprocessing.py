"""Preprocessing: from the bytes of an image file to the pixels of a model's input.

`iraas.decoding` decodes the file within limits. The image is transformed as in the evaluation of
the weights: the central square, a little smaller than the image, is resized in one step. The EXIF
orientation is applied to the small result, which is cheap and gives the same pixels, since the
square is central.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from iraas.decoding.failures import image_errors
from iraas.decoding.limits import DEFAULT_LIMITS, DecodeLimits
from iraas.decoding.opening import load_image
from iraas.decoding.orientation import upright
from iraas.models.bundle import Preprocessing
from iraas.models.colours import plain_region

if TYPE_CHECKING:
    from numpy.typing import NDArray

REDUCING_GAP: Final = 2.0
"""Images much larger than the input are first reduced by averaging to twice the input's side."""


def prepare_pixels(
    data: bytes, preprocessing: Preprocessing, limits: DecodeLimits = DEFAULT_LIMITS
) -> NDArray[np.uint8]:
    """Decode one image and transform it to the model's input.

    Not thread-safe, since it silences warnings of the whole process.

    Args:
        data: The bytes of the image file.
        preprocessing: The transformation.
        limits: Limits on the cost of decoding.

    Returns:
        uint8 RGB pixels of shape (size, size, 3).

    Raises:
        NotAnImageError: The bytes are of no format that iraas reads.
        ImageTooLargeError: There are too many pixels, or decoding would take too much memory or
            time; nothing was decoded then.
        BrokenImageError: The content is broken, truncated, or of an unsupported kind.
    """
    with image_errors(data):
        return fit_pixels(decode_image(data, preprocessing, limits), preprocessing)


def decode_image(data: bytes, preprocessing: Preprocessing, limits: DecodeLimits) -> Image.Image:
    """Decode an image, no larger than the model needs it. Use `prepare_pixels` to be safe.

    Args:
        data: The bytes of the image file.
        preprocessing: The transformation, for the size that it needs.
        limits: Limits on the cost of decoding.

    Raises:
        Exception: Any error of the decoder; `iraas.decoding.failures` translates them.
    """
    return load_image(
        data,
        limits,
        shrink_to=preprocessing.size + preprocessing.crop_padding,
    )


def fit_pixels(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Transform a decoded image to the model's input.

    Args:
        image: The image, loaded, in any mode and size.
        preprocessing: The transformation.

    Returns:
        uint8 RGB pixels of shape (size, size, 3).
    """
    return np.asarray(upright(_middle_square(image, preprocessing), image))


def _middle_square(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    width, height = image.size
    size = preprocessing.size
    side = min(width, height) * size / (size + preprocessing.crop_padding)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    region, box = plain_region(image, box, shrink=int(side / size / REDUCING_GAP) or 1)
    resample = Image.Resampling[preprocessing.resample.upper()]
    pixels = region.resize((size, size), resample, box=box, reducing_gap=REDUCING_GAP)
    return pixels if pixels.mode == "RGB" else pixels.convert("RGB")
