"""What decoding takes by the pixels that come out: PNG, GIF, BMP, WebP, and Pillow's own part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iraas.decoding.limits import Cost

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

    from iraas.decoding.chunks import PngChunks

ROW_BYTES: Final = 8
"""Pillow keeps the address of every row."""

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
# Pillow unpacks run-length coded BMP in Python, a pixel or a pair of bytes at a time.
BMP_RUN_PIXEL_S: Final = 100e-9
BMP_RUN_BYTE_S: Final = 200e-9
BMP_RUN_PIXEL_BYTES: Final = 3
CONVERSION_PIXEL_S: Final = 6e-9
"""Of the pixels that are neither RGB nor grey, into one of these."""
CONVERSION_BYTES: Final = 24_000_000
"""Of the band that is being converted."""

WEBP_CANVAS_BYTES: Final = 16
"""A pixel: libwebp's two canvases, the copy that Pillow asks for, and Pillow's image."""

MAX_TEXTS_BYTES: Final = 16_000_000
"""All texts of a PNG, unpacked: a quarter of what Pillow allows by default."""


def pixel_bytes(mode: str) -> int:
    """What one pixel takes in Pillow's memory."""
    return 2 if mode.startswith("I;16") else _PIXEL_BYTES.get(mode, DEFAULT_PIXEL_BYTES)


def image_cost(image: Image, data: bytes) -> Cost:
    """Pillow's pixels, the file, and making plain colours of others."""
    width, height = image.size
    memory_bytes: float = len(data) + height * (width * pixel_bytes(image.mode) + ROW_BYTES)
    if image.mode in {"RGB", "L"} and "transparency" not in image.info:
        return Cost(memory_bytes, 0.0)
    return Cost(memory_bytes + CONVERSION_BYTES, width * height * CONVERSION_PIXEL_S)


def png_cost(image: ImageFile, chunks: PngChunks) -> Cost:
    """What the codec takes for a PNG."""
    rawmode = str(image.tile[0].args) if image.tile else ""
    sample_bytes = 2 if "16" in rawmode else 1
    row_bytes = image.width * len(image.getbands()) * sample_bytes + 1
    texts_bytes = min(chunks.text_bytes, 4 * MAX_TEXTS_BYTES)
    return Cost(
        texts_bytes + 2 * row_bytes,
        row_bytes * image.height * PNG_BYTE_S + chunks.count * PNG_CHUNK_S,
    )


def gif_cost(image: Image, data: bytes) -> Cost:
    """What the codec takes for a GIF's first frame."""
    return Cost(0, image.width * image.height * GIF_PIXEL_S + len(data) * FILE_BYTE_S)


def bmp_cost(image: ImageFile, data: bytes) -> Cost:
    """What the codec takes for a BMP."""
    pixels = image.width * image.height
    if image.tile and image.tile[0].codec_name == "bmp_rle":
        cpu_s = pixels * BMP_RUN_PIXEL_S + len(data) * BMP_RUN_BYTE_S
        return Cost(pixels * BMP_RUN_PIXEL_BYTES, cpu_s)
    return Cost(0, pixels * BMP_PIXEL_S)


def webp_cost(width: int, height: int, data: bytes) -> Cost:
    """What opening and decoding a WebP takes through Pillow, Pillow's image and the file included.

    Args:
        width: In pixels.
        height: In pixels.
        data: The file, of which Pillow and libwebp make a copy each.
    """
    pixels = width * height
    return Cost(
        pixels * WEBP_CANVAS_BYTES + 3 * len(data),
        pixels * WEBP_PIXEL_S + len(data) * WEBP_BYTE_S,
    )
