"""The EXIF orientation of an image."""

from __future__ import annotations

from typing import Final

from PIL import Image

ORIENTATION_TAG: Final = 0x0112

_TRANSPOSITIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(small: Image.Image, original: Image.Image) -> Image.Image:
    """Apply the EXIF orientation of an image to a smaller version of it.

    Args:
        small: The version to turn, which is cheaper than turning the original.
        original: The image as Pillow opened it.

    Returns:
        The turned image; `small` itself if the orientation is the usual one.
    """
    transposition = _TRANSPOSITIONS.get(_orientation(original))
    return small if transposition is None else small.transpose(transposition)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1..8; 1 when there is none or it cannot be read."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - an image is worth more than its broken metadata
        return 1
    return value if isinstance(value, int) else 1
