"""Classifiers: a model in memory."""

from collections.abc import Sequence
from typing import Any, Protocol

from iraas.core.outcomes import Prediction

PreparedImage = Any
"""A decoded and preprocessed image, in the form that its classifier likes best."""


class Classifier(Protocol):
    """A model in memory. One thread prepares and infers at a time."""

    @property
    def model_id(self) -> str:
        """The bundle, as ``name@`` and the first eight digits of its hash."""
        ...

    @property
    def batch_size(self) -> int:
        """How many images `infer` takes best at once."""
        ...

    def prepare(self, data: bytes) -> PreparedImage:
        """Decode and preprocess an image's bytes.

        Raises:
            ImageError: It cannot be classified; the text says why.
        """
        ...

    def infer(self, batch: Sequence[PreparedImage]) -> list[Prediction]:
        """Classify prepared images, at least one; the predictions come in the same order."""
        ...
