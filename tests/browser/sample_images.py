"""Images whose outcome a test decides: small JPEGs that carry their label behind their last byte,
where decoders do not look.
"""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from iraas.core.outcomes import LabelScore, Prediction
from iraas.errors import BrokenImageError
from tests.fakes.scripted_classifier import ScriptedClassifier

MARK = b"label:"
BROKEN = "broken"
OTHERS = ("tench", "goldfish", "great white shark", "tiger shark")


def image_bytes(label: str, hue: int = 0) -> bytes:
    """A JPEG that `LabelReader` gives that label; `BROKEN` fails until it is repaired."""
    file = io.BytesIO()
    colour = ((hue * 53) % 256, (hue * 97 + 80) % 256, (hue * 31 + 160) % 256)
    Image.new("RGB", (64, 48), colour).save(file, "JPEG")
    return file.getvalue() + MARK + label.encode()


def write_images(folder: Path, labels: Sequence[str]) -> list[Path]:
    """Images as files: 00.jpg, 01.jpg and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:02}.jpg" for index in range(len(labels))]
    for index, (path, label) in enumerate(zip(paths, labels, strict=True)):
        path.write_bytes(image_bytes(label, index))
    return paths


class LabelReader(ScriptedClassifier):
    """Reads the label that an image carries, and is less and less sure of four others.

    Attributes:
        is_mended: Whether broken images are no longer broken.
    """

    is_mended = False

    def prepare(self, data: bytes) -> str:
        label = data.rpartition(MARK)[2].decode() if MARK in data else "unmarked"
        if label == BROKEN and not self.is_mended:
            raise BrokenImageError("the image is cut off in its middle")
        return label

    def infer(self, batch: Sequence[str]) -> list[Prediction]:
        super().infer(batch)
        return [Prediction((LabelScore(label, sureness(label)), *_others())) for label in batch]


def sureness(label: str) -> float:
    """A score that depends on the label alone, in 0.5..0.9."""
    return 0.5 + (sum(label.encode()) % 41) / 100


def _others() -> tuple[LabelScore, ...]:
    return tuple(LabelScore(one, 0.08 / 2**index) for index, one in enumerate(OTHERS))
