"""Costs of decoding that grow with the pixels: PNG, GIF, BMP, WebP, and Pillow's own part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iraas.decoding.limits import Cost

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

    from iraas.decoding.chunks import PngChunks

ROW_BYTES: Final = 8
"""Pillow keeps a pointer to every row."""

_PIXEL_BYTES: Final = {"1": 1, "L": 1, "P": 1}
DEFAULT_PIXEL_BYTES: Final = 4

# Seconds, upper bounds measured with Pillow 13, zlib-ng 2.3 and libwebp 1.6.
PNG_BYTE_S: Final = 4.6e-9
PNG_CHUNK_S: Final = 2e-6
GIF_PIXEL_S: Final = 4e-9
BMP_PIXEL_S: Final = 2e-9
WEBP_PIXEL_S: Final = 16e-9
WEBP_BYTE_S: Final = 20e-9
FILE_BYTE_S: Final = 5e-9
# Pillow unpacks run-length encoded BMP in Python, a pixel or a pair of bytes at a time.
BMP_RUN_PIXEL_S: Final = 100e-9
BMP_RUN_BYTE_S: Final = 200e-9
BMP_RUN_PIXEL_BYTES: Final = 3
CONVERSION_PIXEL_S: Final = 6e-9
"""Conversion of a pixel that is neither RGB nor grey."""
CONVERSION_BYTES: Final = 24_000_000
"""Memory of the band that is being converted."""

WEBP_CANVAS_BYTES: Final = 16
"""Per pixel: libwebp's two canvases, the copy that Pillow makes, and Pillow's image."""

MAX_TEXTS_BYTES: Final = 16_000_000
"""All texts of a PNG, unpacked: a quarter of what Pillow allows by default."""


def pixel_bytes(mode: str) -> int:
    """Bytes of one pixel in Pillow's memory, by the image's mode."""
    return 2 if mode.startswith("I;16") else _PIXEL_BYTES.get(mode, DEFAULT_PIXEL_BYTES)


def image_cost(image: Image, data: bytes) -> Cost:
    """Estimate the cost of Pillow's pixels, the file's bytes and the colour conversion."""
    width, height = image.size
    memory_bytes: float = len(data) + height * (width * pixel_bytes(image.mode) + ROW_BYTES)
    if image.mode in {"RGB", "L"} and "transparency" not in image.info:
        return Cost(memory_bytes, 0.0)
    return Cost(memory_bytes + CONVERSION_BYTES, width * height * CONVERSION_PIXEL_S)


def png_cost(image: ImageFile, chunks: PngChunks) -> Cost:
    """Estimate the cost of the PNG codec."""
    rawmode = str(image.tile[0].args) if image.tile else ""
    sample_bytes = 2 if "16" in rawmode else 1
    row_bytes = image.width * len(image.getbands()) * sample_bytes + 1
    texts_bytes = min(chunks.text_bytes, 4 * MAX_TEXTS_BYTES)
    return Cost(
        texts_bytes + 2 * row_bytes,
        row_bytes * image.height * PNG_BYTE_S + chunks.count * PNG_CHUNK_S,
    )


def gif_cost(image: Image, data: bytes) -> Cost:
    """Estimate the cost of the GIF codec for the first frame."""
    return Cost(0, image.width * image.height * GIF_PIXEL_S + len(data) * FILE_BYTE_S)


def bmp_cost(image: ImageFile, data: bytes) -> Cost:
    """Estimate the cost of the BMP codec."""
    pixels = image.width * image.height
    if image.tile and image.tile[0].codec_name == "bmp_rle":
        cpu_s = pixels * BMP_RUN_PIXEL_S + len(data) * BMP_RUN_BYTE_S
        return Cost(pixels * BMP_RUN_PIXEL_BYTES, cpu_s)
    return Cost(0, pixels * BMP_PIXEL_S)


def webp_cost(width: int, height: int, data: bytes) -> Cost:
    """Estimate the cost of decoding a WebP with Pillow, Pillow's image and the file included.

    Args:
        width: In pixels.
        height: In pixels.
        data: The bytes of the file, of which Pillow and libwebp make a copy each.
    """
    pixels = width * height
    return Cost(
        pixels * WEBP_CANVAS_BYTES + 3 * len(data),
        pixels * WEBP_PIXEL_S + len(data) * WEBP_BYTE_S,
    )
