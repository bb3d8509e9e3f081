"""The confined process that makes thumbnails; started by `iraas.web.thumbnails.service`.

The first frame on its standard input configures it; its reply names what the system could not
confine, which is normally empty. After that each frame with an image is answered with a JPEG, or
with an empty frame if the image cannot be decoded.
"""

import io

from PIL import Image

from iraas.decoding.bands import on_white, shrink_converted
from iraas.decoding.failures import image_errors
from iraas.decoding.limits import DEFAULT_LIMITS, DecodeLimits
from iraas.decoding.opening import load_image
from iraas.decoding.orientation import upright
from iraas.errors import ImageError
from iraas.sandbox.child import Child
from iraas.sandbox.confinement import confine, confine_after_loading
from iraas.sandbox.limits import cpu_budget, limit_memory

SIDE = 320
REDUCING_GAP = 2.0
PLAIN_MODES = frozenset({"RGB", "RGBX", "L", "CMYK", "YCbCr"})


def make_thumbnail(data: bytes, limits: DecodeLimits = DEFAULT_LIMITS) -> bytes:
    """Make a small JPEG of an image: upright, with transparent parts white.

    Args:
        data: The image file.
        limits: Limits on decoding it, the same as for classification.

    Returns:
        A JPEG of at most `SIDE` pixels on its longer side; empty if none can be made.
    """
    try:
        with image_errors(data):
            image = load_image(data, limits, shrink_to=SIDE)
            small = _plain(image)
            small.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
            return _encode(upright(small, image))
    except ImageError:
        return b""


def _plain(image: Image.Image) -> Image.Image:
    """Convert an image to RGB, CMYK or grey, no larger than `Image.thumbnail` needs it."""
    if image.mode in PLAIN_MODES and "transparency" not in image.info:
        return image
    shrink = int(max(image.size) / SIDE / REDUCING_GAP) or 1
    return shrink_converted(image, (0, 0, *image.size), shrink, on_white)


def _encode(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=80)
    return file.getvalue()


def main() -> None:
    """Run as a process."""
    child = Child()
    confinement = confine()
    limit_memory(child.order["headroom_bytes"])
    confinement = confine_after_loading(confinement)
    child.reply(confinement.missing.encode())
    image_cpu_s = child.order["image_cpu_s"]
    limits = DecodeLimits.within_budget(child.order["max_pixels"], image_cpu_s)
    for data in child.requests():
        with cpu_budget(image_cpu_s):
            thumbnail = make_thumbnail(data, limits)
        child.reply(thumbnail)


if __name__ == "__main__":
    main()
