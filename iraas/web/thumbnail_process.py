"""The process that makes thumbnails: ``python -m iraas.web.thumbnail_process``.

On its standard input and output lie frames: four bytes of length, big-endian, and so many bytes.
An image comes in, a JPEG goes out, or an empty frame for what cannot be decoded.
"""

import io
import resource
import struct
import sys
from typing import BinaryIO

from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SIDE = 320
MAX_PIXELS = 64_000_000
MEMORY_BYTES = 1_500_000_000
HEAD = struct.Struct(">I")


def make_thumbnail(data: bytes) -> bytes:
    """A JPEG of `SIDE` pixels at most on its longer side, upright; empty if none can be made."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return b""
            image.draft("RGB", (SIDE, SIDE))
            upright = ImageOps.exif_transpose(image)
            upright.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
            return _encode(_on_white(upright))
    except Exception:  # noqa: BLE001 - decoders raise anything, and all of it means the same here
        return b""


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        clear = image.convert("RGBA")
        ground = Image.new("RGBA", clear.size, "white")
        ground.alpha_composite(clear)
        image = ground
    return image.convert("RGB")


def _encode(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
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
