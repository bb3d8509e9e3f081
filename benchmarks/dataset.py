"""Images to measure with: as many as wanted, all different, made from the example photographs."""

import random
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

PHOTOS = Path(__file__).parents[1] / "examples" / "images"
SMALL = (500, 375)
"""Width and height of the usual image; every third one is upright."""

GRAIN = 5.0
"""Standard deviation of the noise put on enlarged images, in 8-bit steps: without it an enlarged
photograph would be far smoother, and its JPEG far smaller, than what a camera writes."""

GRAIN_SIDE = 1024


def make_dataset(directory: Path, count: int, megapixels: float | None = None) -> list[Path]:
    """Make JPEGs that all differ, by seeded crops, flips and brightness; quality 85 to 90.

    Idempotent: an image that is there is kept, so that the second call is instant. The same
    arguments give the same images on every machine with the same Pillow.

    Args:
        directory: Where to; made if missing.
        count: How many.
        megapixels: Size of each in millions of pixels, 4:3; about 500 x 375 pixels if None.

    Returns:
        Their paths, in order.
    """
    directory.mkdir(parents=True, exist_ok=True)
    kind = "small" if megapixels is None else f"{megapixels:g}mp"
    paths = [directory / f"{kind}-{index:05}.jpg" for index in range(count)]
    for index, path in enumerate(paths):
        if not path.exists():
            unfinished = path.with_suffix(".part")
            _make_one(unfinished, index, megapixels)
            unfinished.rename(path)
    return paths


def _make_one(path: Path, index: int, megapixels: float | None) -> None:
    rng = random.Random(index)
    photos = _photos()
    photo = photos[index % len(photos)]
    width, height = SMALL if megapixels is None else _four_by_three(megapixels)
    if index % 3 == 2:
        width, height = height, width
    scale = min(photo.width / width, photo.height / height) * rng.uniform(0.85, 1.0)
    left = rng.uniform(0, photo.width - width * scale)
    top = rng.uniform(0, photo.height - height * scale)
    box = (left, top, left + width * scale, top + height * scale)
    image = photo.resize((width, height), Image.Resampling.BICUBIC, box=box)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.9, 1.1))
    if megapixels is not None:
        image = _with_grain(image)
    image.save(path, "JPEG", quality=rng.randint(85, 90))


def _four_by_three(megapixels: float) -> tuple[int, int]:
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    return round(height * 4 / 3), height


def _with_grain(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image)
    grain = _grain()
    rows = np.resize(np.arange(GRAIN_SIDE), pixels.shape[0])
    columns = np.resize(np.arange(GRAIN_SIDE), pixels.shape[1])
    grainy = pixels.astype(np.int16) + grain[rows][:, columns, None]
    return Image.fromarray(np.clip(grainy, 0, 255).astype(np.uint8))


@cache
def _grain() -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    noise = np.random.default_rng(0).normal(0, GRAIN, (GRAIN_SIDE, GRAIN_SIDE))
    return noise.round().astype(np.int16)


@cache
def _photos() -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.jpg"))]
