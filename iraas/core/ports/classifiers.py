"""Classifiers: models loaded into memory."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from iraas.core.outcomes import Prediction
from iraas.errors import ImageError


class Classifier(Protocol):
    """A model loaded into memory. Not thread-safe."""

    @property
    def model_id(self) -> str:
        """The bundle, as ``name@`` and the first eight digits of its hash."""
        ...

    @property
    def batch_size(self) -> int:
        """The best number of images for one `classify` call."""
        ...

    def classify(self, images: Sequence[bytes]) -> Iterable[Prediction | ImageError]:
        """Classify images lazily: each result is yielded as soon as it is known.

        The results must be consumed before the next call. An image that cannot be classified yields
        an error and does not affect the others.

        Args:
            images: Whole image files, as they were sent.

        Returns:
            A prediction or an error for each image, in the same order. A `DecoderCrashError` should
            be brought to a person's attention.
        """
        ...
