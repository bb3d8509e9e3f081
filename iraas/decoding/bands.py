"""Conversion of large images in bands of rows, which never holds two whole images in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Region = tuple[int, int, int, int]
"""Left, top, right, bottom, in whole pixels."""

BAND_PIXELS: Final = 1_000_000
"""Pixels that are converted at a time: a conversion takes up to 24 bytes per pixel."""


def bands(image: Image.Image, region: Region, multiple: int = 1) -> Iterator[Image.Image]:
    """Cut a region into bands of about `BAND_PIXELS` pixels.

    Args:
        image: The image, loaded.
        region: The region, within the image.
        multiple: The height of each band, in rows, is a multiple of this, except for the last.

    Yields:
        The bands, from top to bottom.
    """
    left, top, right, bottom = region
    rows = max(1, BAND_PIXELS // (right - left) // multiple) * multiple
    for row in range(top, bottom, rows):
        yield image.crop((left, row, right, min(row + rows, bottom)))


def shrink_converted(
    image: Image.Image,
    region: Region,
    shrink: int,
    convert: Callable[[Image.Image], Image.Image],
) -> Image.Image:
    """Convert a region of a large image and shrink it at the same time.

    Args:
        image: The image, loaded; it is not changed.
        region: The region, within the image.
        shrink: Pixels in each direction that are averaged into one, at least 1.
        convert: Converts the colours of a band, to the same mode for every band.

    Returns:
        The region, converted and shrunk.
    """
    parts = [convert(band).reduce(shrink) for band in bands(image, region, shrink)]
    whole = Image.new(parts[0].mode, (parts[0].width, sum(part.height for part in parts)))
    row = 0
    for part in parts:
        whole.paste(part, (0, row))
        row += part.height
    return whole


def on_white(image: Image.Image) -> Image.Image:
    """Convert an image to RGB or grey, with white in place of transparency.

    Cut-out images are made for a white page, and their invisible pixels are most often black.
    """
    if image.has_transparency_data:
        straight = {"La": "LA", "RGBa": "RGBA"}.get(image.mode)
        visible = image.convert(straight) if straight else image
        if visible.mode != "RGBA":
            visible = visible.convert("RGBA")
        page = Image.new("RGB", visible.size, "white")
        page.paste(visible, mask=visible.getchannel("A"))
        return page
    return image.convert("L" if image.mode == "1" else "RGB")
