"""Limits on the cost of decoding one image, and the errors for exceeding them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iraas.core.settings import DEFAULT_IMAGE_CPU_S, DEFAULT_MAX_PIXELS
from iraas.errors import BrokenImageError, ImageTooLargeError

DEFAULT_MAX_MEMORY_BYTES: Final = 270_000_000
"""Most memory for one image: its file, its pixels and its decoder's buffers. The largest image by
pixels (64 million of 4 bytes) fits, and with the memory that is not counted here (Pillow's code,
Python's objects) the total stays below 300 MB."""

DECODING_BYTES: Final = 290_000_000
"""Address space that a confined process may allocate to decode one image, beside the file itself:
a little more than the limit above, so that the estimate refuses an image before the system does."""

ESTIMATED_SHARE: Final = 6 / 7
"""Share of an image's CPU budget that its estimate may reach; the rest is a margin for work that is
not estimated, and for slower cores."""

DEFAULT_MAX_CPU_S: Final = DEFAULT_IMAGE_CPU_S * ESTIMATED_SHARE
"""Most estimated CPU time for one image. The estimates add up upper bounds that were measured on a
core of 2.5 GHz."""

MAX_SIDE: Final = 250_000
"""Longest side, in pixels. Pillow keeps 8 bytes per row beside the pixels, and decoders take some
50 ns per row: an image one pixel wide would cost more for its rows than for its pixels."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Limits on one image.

    Attributes:
        max_pixels: Width times height.
        max_memory_bytes: Estimated peak memory of decoding, in bytes, the file included.
        max_cpu_s: Estimated CPU seconds of decoding.
    """

    max_pixels: int = DEFAULT_MAX_PIXELS
    max_memory_bytes: int = DEFAULT_MAX_MEMORY_BYTES
    max_cpu_s: float = DEFAULT_MAX_CPU_S

    @classmethod
    def within_budget(cls, max_pixels: int, image_cpu_s: float) -> DecodeLimits:
        """The limits that keep an image within a CPU budget.

        Args:
            max_pixels: Width times height.
            image_cpu_s: CPU seconds after which the decoding process is ended.
        """
        return cls(max_pixels=max_pixels, max_cpu_s=image_cpu_s * ESTIMATED_SHARE)

    def check_size(self, width: int, height: int, what: str = "") -> None:
        """Check an image's size.

        Args:
            width: In pixels, as the header says.
            height: In pixels, as the header says.
            what: Prefix of the size in the message, if it is not the image's: ``tiles of``.

        Raises:
            BrokenImageError: The image has no pixels.
            ImageTooLargeError: It has too many, or one side is too long.
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
        """Check the estimated cost of decoding.

        Raises:
            ImageTooLargeError: It exceeds the limit on memory or on CPU time.
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
    """Upper bound on the cost of decoding, estimated from the file's structure.

    Attributes:
        memory_bytes: Peak memory, in bytes.
        cpu_s: CPU seconds.
    """

    memory_bytes: float
    cpu_s: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.memory_bytes + other.memory_bytes, self.cpu_s + other.cpu_s)


def check_count(what: str, count: int, limit: int) -> None:
    """Check how many parts of one kind a file has.

    Args:
        what: The parts' name, in the plural, for the message.
        count: How many there are.
        limit: How many there may be.

    Raises:
        BrokenImageError: There are more than `limit`.
    """
    if count > limit:
        raise BrokenImageError(f"the file has more than {limit:,} {what}")
