"""Decoding of still WebP images that are too large for Pillow's own way.

Pillow decodes every WebP as an animation: two canvases, a copy and an image, 16 bytes per pixel.
The same library can decode a still image into a buffer of 4 bytes per pixel, which is how
photographs of more than 16 megapixels stay within the memory limit.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

from PIL import Image

from iraas.decoding.chunks import riff_chunks
from iraas.decoding.limits import Cost
from iraas.decoding.pixel_cost import WEBP_BYTE_S, WEBP_PIXEL_S
from iraas.errors import BrokenImageError

PIXEL_BYTES: Final = 4
LOSSLESS_PIXEL_BYTES: Final = 4
"""The lossless decoder's own copy of the pixels."""
ALPHA_PIXEL_BYTES: Final = 2
"""The lossy decoder's alpha plane, which may be coded losslessly."""

_ANIMATION_FLAG: Final = 0x02
_ALPHA_FLAG: Final = 0x10
_FLAGS_AT: Final = 20
_LOSSLESS_ALPHA_FLAG: Final = 0x10
_METADATA: Final = {b"EXIF": "exif", b"XMP ": "xmp"}


def is_still(data: bytes) -> bool:
    """Whether a WebP is not an animation."""
    return data[12:16] != b"VP8X" or not data[_FLAGS_AT] & _ANIMATION_FLAG


def large_webp_cost(width: int, height: int, data: bytes) -> Cost:
    """Estimate the cost of `decode_large_webp`, the file and the image included.

    Args:
        width: In pixels.
        height: In pixels.
        data: The bytes of the file.
    """
    pixels = width * height
    each = PIXEL_BYTES + (0 if data[12:16] == b"VP8 " else LOSSLESS_PIXEL_BYTES)
    if data[12:16] == b"VP8X" and b"VP8 " in {kind for kind, _ in riff_chunks(data)}:
        each = PIXEL_BYTES + (ALPHA_PIXEL_BYTES if data[_FLAGS_AT] & _ALPHA_FLAG else 0)
    return Cost(pixels * each + len(data), pixels * WEBP_PIXEL_S + len(data) * WEBP_BYTE_S)


def decode_large_webp(data: bytes, width: int, height: int) -> Image.Image | None:
    """Decode a still WebP.

    Args:
        data: The bytes of the file.
        width: The image's width by its header, in pixels.
        height: The image's height by its header, in pixels.

    Returns:
        The image in mode RGBA or RGBX, with its EXIF in ``info``; None where Pillow's WebP library
        is not accessible.

    Raises:
        BrokenImageError: The content is broken, truncated, or of another size.
    """
    library = _library()
    if library is None:
        return None
    found_width, found_height = ctypes.c_int(), ctypes.c_int()
    known = library.WebPGetInfo(
        data, len(data), ctypes.byref(found_width), ctypes.byref(found_height)
    )
    if not known or (found_width.value, found_height.value) != (width, height):
        raise BrokenImageError("broken WEBP: its headers disagree about its size")
    stride = width * PIXEL_BYTES
    pixels = bytearray(stride * height)
    buffer = (ctypes.c_ubyte * len(pixels)).from_buffer(pixels)
    if not library.WebPDecodeRGBAInto(data, len(data), buffer, len(pixels), stride):
        raise BrokenImageError("broken WEBP: it cannot be decoded completely")
    mode = "RGBA" if _has_alpha(data) else "RGBX"
    image = Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)
    for kind, content in riff_chunks(data):
        if kind in _METADATA:
            image.info[_METADATA[kind]] = content
    return image


def _has_alpha(data: bytes) -> bool:
    if data[12:16] == b"VP8L":
        return bool(data[24] & _LOSSLESS_ALPHA_FLAG)
    return data[12:16] == b"VP8X" and bool(data[_FLAGS_AT] & _ALPHA_FLAG)


@cache
def _library() -> ctypes.CDLL | None:
    """The libwebp that Pillow has loaded; None where Pillow does not link to one."""
    try:
        from PIL import _webp  # noqa: PLC0415 - Pillow may be built without it

        library = ctypes.CDLL(_webp.__file__)
        get_info, decode = library.WebPGetInfo, library.WebPDecodeRGBAInto
    except (ImportError, OSError, AttributeError):
        return None
    size = ctypes.POINTER(ctypes.c_int)
    get_info.argtypes = [ctypes.c_char_p, ctypes.c_size_t, size, size]
    get_info.restype = ctypes.c_int
    decode.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
    ]
    decode.restype = ctypes.c_void_p
    return library
