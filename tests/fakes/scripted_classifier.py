"""A classifier whose predictions are written in the images themselves."""

import threading
from collections.abc import Sequence

from iraas.core.outcomes import LabelScore, Prediction
from iraas.errors import BrokenImageError, ImageError
from tests.waiting import PATIENCE_S

MAGIC = b"\xff\xd8\xff"
BROKEN = MAGIC + b"broken"


def image_bytes(label: str) -> bytes:
    """Bytes that sniff as a JPEG and that `ScriptedClassifier` classifies as that label."""
    return MAGIC + label.encode()


class ScriptedClassifier:
    """The `Classifier` port: an image's label is written in its bytes.

    Attributes:
        batches: The labels of each call of `infer`.
        gate: `infer` waits until it is set.
        waiting: Set while `infer` waits for the gate.
    """

    model_id = "scripted@00000000"

    def __init__(self, batch_size: int = 1) -> None:
        self.batch_size = batch_size
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()

    def prepare(self, data: bytes) -> str:
        label = data.removeprefix(MAGIC).decode()
        if label == "broken":
            raise BrokenImageError("the image is broken")
        return label

    def classify(self, images: Sequence[bytes]) -> list[Prediction | ImageError]:
        prepared = [self._try_to_prepare(image) for image in images]
        good = [one for one in prepared if isinstance(one, str)]
        predictions = iter(self.infer(good) if good else [])
        return [one if isinstance(one, ImageError) else next(predictions) for one in prepared]

    def _try_to_prepare(self, data: bytes) -> str | ImageError:
        try:
            return self.prepare(data)
        except ImageError as exc:
            return exc

    def infer(self, batch: Sequence[str]) -> list[Prediction]:
        self.waiting.set()
        assert self.gate.wait(PATIENCE_S), "the test never opened the gate"
        self.waiting.clear()
        self.batches.append(list(batch))
        return [Prediction((LabelScore(label, 0.9),)) for label in batch]
