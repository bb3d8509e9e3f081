"""Images for the acceptance tests: small, so that many take little time."""

from io import BytesIO
from pathlib import Path

from PIL import Image

Photo = tuple[Path, str, int]


def make_images(folder: Path, photos: list[Photo], count: int) -> None:
    """Small images made from the example photographs, each as often as needed."""
    folder.mkdir()
    small = [_small(path) for path, _, _ in photos[:count]]
    for index in range(count):
        (folder / f"{index:03}.jpg").write_bytes(small[index % len(small)])


def _small(path: Path) -> bytes:
    file = BytesIO()
    with Image.open(path) as photo:
        photo.convert("RGB").resize((160, 160)).save(file, "JPEG", quality=80)
    return file.getvalue()
