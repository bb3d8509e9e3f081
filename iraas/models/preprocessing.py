"""From a file's bytes to a model's pixels.

`iraas.decoding` opens and decodes the file, within limits. The image becomes the model's input as
in the evaluation of the weights: the middle square, a little smaller than the image, resized in one
step. EXIF orientation turns the small result, which costs nothing and comes to the same, since the
square is in the middle.
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
"""Images much larger than the input are first averaged down to twice the input's side."""


def prepare_pixels(
    data: bytes, preprocessing: Preprocessing, limits: DecodeLimits = DEFAULT_LIMITS
) -> NDArray[np.uint8]:
    """Decode one image and bring it into the model's form.

    For one thread at a time, since warnings are silenced meanwhile. A truncated file raises,
    whatever part of it is there.

    Args:
        data: The file.
        preprocessing: What the model wants.
        limits: What decoding it may cost.

    Returns:
        uint8 RGB pixels of shape (size, size, 3).

    Raises:
        NotAnImageError: If the bytes are of no format that iraas reads.
        ImageTooLargeError: If there are too many pixels, or decoding would take too much memory or
            time; nothing was decoded then.
        BrokenImageError: If the content is broken, truncated, or of a kind nobody can decode.
    """
    with image_errors(data):
        return fit_pixels(decode_image(data, preprocessing, limits), preprocessing)


def decode_image(data: bytes, preprocessing: Preprocessing, limits: DecodeLimits) -> Image.Image:
    """Decode an image, no larger than the model needs it; `prepare_pixels` is the safe way in."""
    return load_image(
        data,
        limits,
        shrink_to=preprocessing.size + preprocessing.crop_padding,
    )


def fit_pixels(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """A decoded image in the model's form: uint8 RGB of shape (size, size, 3)."""
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
