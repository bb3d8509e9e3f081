"""How much one image may cost, and the errors that say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iraas.errors import BrokenImageError, ImageTooLargeError

DEFAULT_MAX_PIXELS: Final = 64_000_000
"""Largest image decoded; cameras of 61 megapixels pass."""

DEFAULT_MAX_MEMORY_BYTES: Final = 270_000_000
"""Most memory for one image: its file, its pixels and the buffers of its decoder. The largest image
by pixels (64 million of 4 bytes) fits, and what is not counted here (Pillow's code, Python's own
objects) keeps the whole below 300 MB."""

DECODING_BYTES: Final = 290_000_000
"""Address space that a confined process may still take to decode one image, beside the file itself:
a little more than the estimate above, so that the estimate refuses before the system does."""

DEFAULT_IMAGE_CPU_S: Final = 1.4
"""Budget of CPU time for one image: beyond it the process that decodes it is ended."""

ESTIMATED_SHARE: Final = 6 / 7
"""How much of an image's budget of CPU time its estimate may be: the rest is for what is not
estimated, and for slower cores."""

DEFAULT_MAX_CPU_S: Final = DEFAULT_IMAGE_CPU_S * ESTIMATED_SHARE
"""Most CPU time for one image, as estimated; the figures that it is estimated from are upper bounds
measured on a core of 2.5 GHz."""

MAX_SIDE: Final = 250_000
"""Pillow keeps 8 bytes a row beside the pixels, and decoders take some 50 ns a row: an image one
pixel wide would cost more for its rows than for its pixels."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Limits on one image.

    Attributes:
        max_pixels: Width times height.
        max_memory_bytes: Bytes that decoding may take at its peak, the file included.
        max_cpu_s: Seconds of CPU time that decoding may take.
    """

    max_pixels: int = DEFAULT_MAX_PIXELS
    max_memory_bytes: int = DEFAULT_MAX_MEMORY_BYTES
    max_cpu_s: float = DEFAULT_MAX_CPU_S

    @classmethod
    def within_budget(cls, max_pixels: int, image_cpu_s: float) -> DecodeLimits:
        """Limits under which an image keeps within its budget.

        Args:
            max_pixels: Width times height.
            image_cpu_s: CPU seconds after which the process that decodes it is ended.
        """
        return cls(max_pixels=max_pixels, max_cpu_s=image_cpu_s * ESTIMATED_SHARE)

    def check_size(self, width: int, height: int, what: str = "") -> None:
        """Check an image's size.

        Args:
            width: In pixels, as the header says.
            height: Likewise.
            what: What has this size, if it is not the image: ``tiles of``.

        Raises:
            BrokenImageError: If there are no pixels.
            ImageTooLargeError: If there are too many, or one side is too long.
        """
        if width < 1 or height < 1:
            raise BrokenImageError(f"the image has no pixels ({width} x {height})")
        size = f"{what} {width:,} x {height:,}".strip()
        if width * height > self.max_pixels:
            raise ImageTooLargeError(f"too many pixels: {size}, the limit is {self.max_pixels:,}")
        if max(width, height) > MAX_SIDE:
            raise ImageTooLargeError(
                f"one side is too long: {size}, the limit is {MAX_SIDE:,} pixels"
            )

    def check_cost(self, cost: Cost) -> None:
        """Check what decoding will take.

        Raises:
            ImageTooLargeError: If it is more memory or more time than allowed.
        """
        if cost.memory_bytes > self.max_memory_bytes:
            raise ImageTooLargeError(
                f"decoding needs {cost.memory_bytes / 1e6:,.0f} MB of memory, "
                f"the limit is {self.max_memory_bytes / 1e6:,.0f} MB"
            )
        if cost.cpu_s > self.max_cpu_s:
            raise ImageTooLargeError(
                f"decoding may take {cost.cpu_s:,.1f} s of CPU time or more, "
                f"the limit is {self.max_cpu_s:,.1f} s"
            )


DEFAULT_LIMITS: Final = DecodeLimits()


@dataclass(frozen=True, slots=True)
class Cost:
    """What decoding takes at worst, as its header tells: bytes of memory, seconds of CPU time."""

    memory_bytes: float
    cpu_s: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.memory_bytes + other.memory_bytes, self.cpu_s + other.cpu_s)


def check_count(what: str, count: int, limit: int) -> None:
    """Check how many parts of one kind a file has.

    Raises:
        BrokenImageError: If there are more than `limit`.
    """
    if count > limit:
        raise BrokenImageError(f"the file has more than {limit:,} {what}")
