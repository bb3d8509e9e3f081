"""The process that makes thumbnails: ``python -m iraas.web.thumbnail_process``.

On its standard input and output lie frames: four bytes of length, big-endian, and so many bytes.
An image comes in, a JPEG goes out, or an empty frame for what cannot be decoded.
"""

import io
import resource
import struct
import sys
from typing import BinaryIO

from PIL import Image

from iraas.decoding.bands import on_white, shrink_converted
from iraas.decoding.failures import image_errors
from iraas.decoding.limits import DEFAULT_MAX_PIXELS, DecodeLimits
from iraas.decoding.opening import load_image
from iraas.decoding.orientation import upright
from iraas.errors import ImageError

SIDE = 320
REDUCING_GAP = 2.0
PLAIN_MODES = frozenset({"RGB", "RGBX", "L", "CMYK", "YCbCr"})
MEMORY_BYTES = 1_500_000_000
HEAD = struct.Struct(">I")


def make_thumbnail(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> bytes:
    """A small JPEG of an image, upright, transparent parts white.

    Args:
        data: The file.
        max_pixels: Limit on the image's width times height, as for classifying it.

    Returns:
        A JPEG of `SIDE` pixels at most on its longer side; empty if none can be made.
    """
    try:
        with image_errors(data):
            image = load_image(data, DecodeLimits(max_pixels=max_pixels), shrink_to=SIDE)
            small = _plain(image)
            small.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
            return _encode(upright(small, image))
    except ImageError:
        return b""


def _plain(image: Image.Image) -> Image.Image:
    """The image in RGB, CMYK or grey, no larger than `thumbnail` needs it."""
    if image.mode in PLAIN_MODES and "transparency" not in image.info:
        return image
    shrink = int(max(image.size) / SIDE / REDUCING_GAP) or 1
    return shrink_converted(image, (0, 0, *image.size), shrink, on_white)


def _encode(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=80)
    return file.getvalue()


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer frames until there are no more."""
    while head := source.read(HEAD.size):
        (size,) = HEAD.unpack(head)
        thumbnail = make_thumbnail(source.read(size))
        sink.write(HEAD.pack(len(thumbnail)) + thumbnail)
        sink.flush()


def main() -> None:
    """Run as a process."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
