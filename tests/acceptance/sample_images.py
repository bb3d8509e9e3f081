"""Pictures for the acceptance tests: small, so that many take little time."""

from pathlib import Path

from PIL import Image

Photo = tuple[Path, str, int]


def make_pictures(folder: Path, photos: list[Photo], count: int) -> None:
    """Small pictures, all different, made from the example photographs."""
    folder.mkdir()
    for index in range(count):
        with Image.open(photos[index % len(photos)][0]) as photo:
            side = 160 + index // len(photos)
            photo.convert("RGB").resize((side, side)).save(folder / f"{index:03}.jpg", quality=80)
