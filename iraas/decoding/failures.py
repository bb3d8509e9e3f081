"""Whatever a decoder raises, as an `ImageError` with a reason for a person."""

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
    """Translate what is raised while an image is decoded and converted.

    For one thread at a time, since warnings are silenced meanwhile.

    Args:
        data: The file.

    Raises:
        ImageError: For every exception inside.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata and of large images: neither is news to anybody, and
            # where warnings are errors they would fail a good image.
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
    # Pillow names the stream's address in memory: nothing for a person, and never the same twice.
    text = text.replace("cannot identify image file", "unreadable header").split(" <_io", 1)[0]
    return text if len(text) <= MAX_REASON_CHARS else text[: MAX_REASON_CHARS - 1] + "…"
