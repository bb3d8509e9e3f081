"""Translation of decoders' exceptions to `ImageError`, with a reason for people."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from PIL import Image

from iraas.core.image_formats import SNIFF_BYTES, sniff_format
from iraas.errors import BrokenImageError, ImageError, ImageTooLargeError

MAX_REASON_CHARS: Final = 160


@contextmanager
def image_errors(data: bytes) -> Iterator[None]:
    """Translate the exceptions of a block that decodes and converts an image.

    Not thread-safe, since it silences warnings of the whole process.

    Args:
        data: The bytes of the image file.

    Raises:
        ImageError: For every exception of the block.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata and of large images, which is of no use here; where
            # warnings are errors they would fail a good image.
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except Image.DecompressionBombError as exc:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ImageTooLargeError(f"too many pixels: over {most:,}") from exc
    except MemoryError as exc:
        raise ImageTooLargeError("decoding needs more memory than there is") from exc
    except Exception as exc:
        image_format = sniff_format(data[:SNIFF_BYTES])
        name = image_format.value if image_format else "image"
        raise BrokenImageError(f"broken {name}: {_short(exc)}") from exc


def _short(exc: BaseException) -> str:
    text = " ".join(str(exc).split()) or type(exc).__name__
    # Pillow adds the stream's address in memory, which is of no use and differs each time.
    text = text.replace("cannot identify image file", "unreadable header").split(" <_io", 1)[0]
    return text if len(text) <= MAX_REASON_CHARS else text[: MAX_REASON_CHARS - 1] + "…"
