"""From a file's bytes to a model's pixels. Every byte is hostile until Pillow has read it.

Six formats, told by their first bytes, and Pillow is offered no other decoder. The size is checked
in the header, before anything is decoded; a file that ends early is an error and not a picture
with a grey half; whatever a decoder raises becomes an `ImageError` with a reason.

The picture becomes the model's input as in the evaluation of the weights: the middle square, a
little smaller than the picture, resized in one step. EXIF orientation turns the small result,
which costs nothing and comes to the same, since the square is in the middle.
"""

from __future__ import annotations

import struct
import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageFile

from iraas.classifier.bundle import Preprocessing
from iraas.classifier.colours import plain_region
from iraas.core.formats import SNIFF_BYTES, ImageFormat, sniff_format
from iraas.errors import BrokenImageError, ImageError, ImageTooLargeError, NotAnImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_MAX_PIXELS: Final = 64_000_000
"""Largest picture decoded. Pillow keeps 4 bytes a pixel, so this is 256 MB for a moment; cameras
of 61 megapixels pass."""

MAX_JPEG_SCANS: Final = 100
"""A progressive JPEG is decoded once per scan. Encoders write about 10; a file of some kilobytes
can ask for thousands, each over the whole picture."""

REDUCING_GAP: Final = 2.0
"""Pictures much larger than the input are first averaged down to twice the input's side."""

ORIENTATION_TAG: Final = 0x0112
TILE_WIDTH_TAG: Final = 322
TILE_LENGTH_TAG: Final = 323
MAX_REASON_CHARS: Final = 160

_TRANSPOSITIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def prepare_pixels(
    data: bytes, preprocessing: Preprocessing, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode one image and bring it into the model's form.

    For one thread at a time, since warnings are silenced meanwhile. A truncated file raises,
    whatever part of it is there.

    Args:
        data: The file.
        preprocessing: What the model wants.
        max_pixels: Limit on width times height, by the header.

    Returns:
        uint8 RGB pixels of shape (size, size, 3).

    Raises:
        NotAnImageError: If the bytes are of no format that iraas reads.
        ImageTooLargeError: If there are more pixels than `max_pixels`; nothing was decoded then.
        BrokenImageError: If the content is broken, truncated, or of a kind nobody can decode.
    """
    image_format = _format_of(data)
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata and of large pictures: neither is news to anybody, and
            # where warnings are errors they would fail a good picture.
            warnings.simplefilter("ignore")
            image = decode_image(data, image_format, preprocessing, max_pixels)
            return fit_pixels(image, preprocessing)
    except ImageError:
        raise
    except Image.DecompressionBombError as exc:
        raise _too_large(f"over {2 * (Image.MAX_IMAGE_PIXELS or 0):,}", max_pixels) from exc
    except MemoryError as exc:
        raise ImageTooLargeError("decoding needs more memory than there is") from exc
    except Exception as exc:
        raise BrokenImageError(f"broken {image_format.value}: {_short(exc)}") from exc


def _format_of(data: bytes) -> ImageFormat:
    if not data:
        raise NotAnImageError("the file is empty")
    image_format = sniff_format(data[:SNIFF_BYTES])
    if image_format is None:
        names = ", ".join(one.value for one in ImageFormat)
        raise NotAnImageError(f"not an image of a known format ({names})")
    return image_format


def decode_image(
    data: bytes, image_format: ImageFormat, preprocessing: Preprocessing, max_pixels: int
) -> Image.Image:
    """Decode an image, no larger than the model needs it; `prepare_pixels` is the safe way in.

    Raises:
        ImageError: By the header.
        Exception: Whatever the decoder raises for broken bytes.
    """
    if image_format is ImageFormat.WEBP:
        # Pillow allocates a WebP's whole canvas when it opens the file.
        _check_pixels(_webp_size(data), max_pixels)
    with Image.open(BytesIO(data), formats=[image_format.value]) as image:
        _check_pixels(image.size, max_pixels)
        _check_costs(image, data, image_format, max_pixels)
        # libjpeg shrinks by 2, 4 or 8 while it decodes, at a fraction of the cost.
        image.draft(None, (preprocessing.size + preprocessing.crop_padding,) * 2)
        image.load()
        return image


def fit_pixels(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """A decoded image in the model's form: uint8 RGB of shape (size, size, 3)."""
    pixels = _middle_square(image, preprocessing)
    turned = _TRANSPOSITIONS.get(_orientation(image))
    return np.asarray(pixels if turned is None else pixels.transpose(turned))


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise BrokenImageError(f"the picture has no pixels ({width} x {height})")
    if width * height > max_pixels:
        raise _too_large(f"{width:,} x {height:,}", max_pixels)


def _too_large(amount: str, max_pixels: int) -> ImageTooLargeError:
    return ImageTooLargeError(f"too many pixels: {amount}, the limit is {max_pixels:,}")


def _check_costs(
    image: ImageFile.ImageFile, data: bytes, image_format: ImageFormat, max_pixels: int
) -> None:
    """Refuse what costs far more than its width and height say."""
    if image_format is ImageFormat.JPEG and image.info.get("progressive"):
        scans = data.count(b"\xff\xda")
        if scans > MAX_JPEG_SCANS:
            raise BrokenImageError(f"the JPEG has {scans:,} scans, the limit is {MAX_JPEG_SCANS}")
    if image_format is ImageFormat.TIFF:
        tags = getattr(image, "tag_v2", {})
        width, length = tags.get(TILE_WIDTH_TAG, 0), tags.get(TILE_LENGTH_TAG, 0)
        if width * length > max_pixels:
            raise _too_large(f"tiles of {width:,} x {length:,}", max_pixels)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height by a WebP's first chunk.

    Source: RFC 9649, sections 2.5 to 2.7.
    """
    try:
        chunk = data[12:16]
        if chunk == b"VP8X":
            width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
            return width + 1, height + 1
        if chunk == b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        if chunk == b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
    except struct.error as exc:
        raise BrokenImageError("broken WEBP: the file ends in its header") from exc
    raise BrokenImageError("broken WEBP: unknown first chunk")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1..8; 1 when there is none or it cannot be read."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - a picture is worth more than its broken metadata
        return 1
    return value if isinstance(value, int) else 1


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


def _short(exc: BaseException) -> str:
    text = " ".join(str(exc).split()) or type(exc).__name__
    # Pillow names the stream's address in memory: nothing for a person, and never the same twice.
    text = text.replace("cannot identify image file", "unreadable header").split(" <_io", 1)[0]
    return text if len(text) <= MAX_REASON_CHARS else text[: MAX_REASON_CHARS - 1] + "…"
