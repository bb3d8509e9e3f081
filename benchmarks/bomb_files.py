"""Two hundred image files that try to cost a decoder memory or time, over all formats.

Deterministic. Pillow writes none of them: its encoders refuse most of what is wrong here, and a
bomb that is written by hand stays the same with every version.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import bomb_bmp
import bomb_gif
import bomb_jpeg
import bomb_png
import bomb_tiff
import bomb_webp

COUNT = 200


@dataclass(frozen=True, slots=True)
class Bomb:
    """One file: its format, what it tries, and its bytes."""

    name: str
    data: bytes


def bombs(only: str = "") -> Iterator[Bomb]:
    """All of them, or those of one format, in a fixed order; each is made when it is asked for."""
    for module in (bomb_jpeg, bomb_png, bomb_gif, bomb_webp, bomb_bmp, bomb_tiff):
        image_format = module.__name__.removeprefix("bomb_")
        if only in {"", image_format}:
            for name, data in module.bombs():
                yield Bomb(f"{image_format}: {name}", data)
