"""The confined process that makes thumbnails; `iraas.web.thumbnails` starts it.

The first frame on its standard input says what one image may cost; it greets by what the system
does not confine it in, which is empty as a rule. Then an image comes in and a JPEG goes out, or an
empty frame for what cannot be decoded.
"""

import io
import json
import os
import signal
import sys

from PIL import Image, ImageOps

from iraas.sandbox.confinement import confine, confine_files_after_loading
from iraas.sandbox.frames import read_frame, write_frame
from iraas.sandbox.limits import cpu_budget, end_with_parent, limit_files, limit_memory

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SIDE = 320
MAX_PIXELS = 64_000_000
MAX_REQUEST_BYTES = 1_000_000_000


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


def main() -> None:
    """Run as a process."""
    end_with_parent()
    # Libraries in C may print: what they print must not be taken for a thumbnail.
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    source = sys.stdin.buffer
    order = json.loads(read_frame(source, max_bytes=MAX_REQUEST_BYTES) or b"{}")
    limit_files()
    confinement = confine()
    Image.init()
    confinement = confine_files_after_loading(confinement)
    limit_memory(order["headroom_bytes"])
    write_frame(sink, confinement.missing.encode())
    while (data := read_frame(source, max_bytes=MAX_REQUEST_BYTES)) is not None:
        with cpu_budget(order["image_cpu_s"]):
            thumbnail = make_thumbnail(data)
        write_frame(sink, thumbnail)


if __name__ == "__main__":
    main()
