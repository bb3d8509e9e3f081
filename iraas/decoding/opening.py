"""Decoding of an image file with Pillow, within limits.

The structure of the file is checked first, then Pillow reads the header, then the cost is
estimated; only then is anything decoded.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final, cast

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from iraas.core.image_formats import SNIFF_BYTES, ImageFormat, sniff_format
from iraas.decoding.chunks import check_gif_blocks, check_png_chunks, webp_size
from iraas.decoding.jpeg_cost import jpeg_cost
from iraas.decoding.jpeg_markers import read_header
from iraas.decoding.large_webp import decode_large_webp, is_still, large_webp_cost
from iraas.decoding.limits import Cost, DecodeLimits
from iraas.decoding.pixel_cost import (
    MAX_TEXTS_BYTES,
    bmp_cost,
    gif_cost,
    image_cost,
    png_cost,
    webp_cost,
)
from iraas.decoding.tiff_cost import tiff_cost
from iraas.decoding.tiff_directory import check_tiff_directory
from iraas.errors import NotAnImageError

if TYPE_CHECKING:
    from collections.abc import Callable

PLUGINS: Final = (
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
"""Imported here because Pillow would import them when it first reads a format: too late for a
confined process, which cannot open files any more."""

PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXTS_BYTES


def load_image(data: bytes, limits: DecodeLimits, shrink_to: int) -> Image.Image:
    """Decode an image; call it within `image_errors`.

    A truncated file is an error. Of several frames the first is decoded.

    Args:
        data: The bytes of the image file.
        limits: Limits on the cost of decoding; nothing is decoded beyond them.
        shrink_to: Pixels. Decoders that can shrink while they decode do so, as long as no side
            becomes shorter than this.

    Returns:
        The image, loaded, in the mode in which it is stored.

    Raises:
        NotAnImageError: The bytes are of no format that iraas reads.
        ImageTooLargeError: A limit is exceeded.
        BrokenImageError: The structure is broken or excessive.
        Exception: Any other error of the decoder.
    """
    if not data:
        raise NotAnImageError("the file is empty")
    image_format = sniff_format(data[:SNIFF_BYTES])
    if image_format is None:
        names = ", ".join(known.value for known in ImageFormat)
        raise NotAnImageError(f"not an image of a known format ({names})")
    return _LOADERS[image_format](data, limits, shrink_to)


def _load_jpeg(data: bytes, limits: DecodeLimits, shrink_to: int) -> Image.Image:
    header = read_header(data)
    limits.check_size(header.frame.width, header.frame.height)
    with _open(data, ImageFormat.JPEG, limits) as image:
        # libjpeg shrinks by 2, 4 or 8 while it decodes, at a fraction of the cost.
        image.draft(None, (shrink_to, shrink_to))
        pixels = image.width * image.height
        cost = jpeg_cost(data, header, pixels, limits.max_cpu_s)
        return _load(image, limits, cost + image_cost(image, data))


def _load_png(data: bytes, limits: DecodeLimits, _shrink_to: int) -> Image.Image:
    chunks = check_png_chunks(data)
    with _open(data, ImageFormat.PNG, limits) as image:
        return _load(image, limits, png_cost(image, chunks) + image_cost(image, data))


def _load_gif(data: bytes, limits: DecodeLimits, _shrink_to: int) -> Image.Image:
    check_gif_blocks(data)
    with _open(data, ImageFormat.GIF, limits) as image:
        return _load(image, limits, gif_cost(image, data) + image_cost(image, data))


def _load_bmp(data: bytes, limits: DecodeLimits, _shrink_to: int) -> Image.Image:
    with _open(data, ImageFormat.BMP, limits) as image:
        return _load(image, limits, bmp_cost(image, data) + image_cost(image, data))


def _load_tiff(data: bytes, limits: DecodeLimits, _shrink_to: int) -> Image.Image:
    check_tiff_directory(data)
    with _open(data, ImageFormat.TIFF, limits) as image:
        tiff = cast("TiffImagePlugin.TiffImageFile", image)
        return _load(image, limits, tiff_cost(tiff, data, limits) + image_cost(image, data))


def _load_webp(data: bytes, limits: DecodeLimits, _shrink_to: int) -> Image.Image:
    # Read from the bytes, since Pillow allocates a WebP's whole canvas when it opens the file.
    width, height = webp_size(data)
    limits.check_size(width, height)
    cost = webp_cost(width, height, data)
    if cost.memory_bytes > limits.max_memory_bytes and is_still(data):
        limits.check_cost(large_webp_cost(width, height, data))
        large = decode_large_webp(data, width, height)
        if large is not None:
            return large
    limits.check_cost(cost)
    with _open(data, ImageFormat.WEBP, limits) as image:
        return _load(image, limits, cost)


_LOADERS: Final[dict[ImageFormat, Callable[[bytes, DecodeLimits, int], Image.Image]]] = {
    ImageFormat.JPEG: _load_jpeg,
    ImageFormat.PNG: _load_png,
    ImageFormat.GIF: _load_gif,
    ImageFormat.BMP: _load_bmp,
    ImageFormat.TIFF: _load_tiff,
    ImageFormat.WEBP: _load_webp,
}


def _open(data: bytes, image_format: ImageFormat, limits: DecodeLimits) -> ImageFile.ImageFile:
    image = Image.open(BytesIO(data), formats=[image_format.value])
    limits.check_size(*image.size)
    return image


def _load(image: ImageFile.ImageFile, limits: DecodeLimits, cost: Cost) -> Image.Image:
    limits.check_cost(cost)
    image.load()
    return image
