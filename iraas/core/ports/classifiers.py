"""Classifiers: a model in memory."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from iraas.core.outcomes import Prediction
from iraas.errors import ImageError


class Classifier(Protocol):
    """A model in memory. For one thread at a time."""

    @property
    def model_id(self) -> str:
        """The bundle, as ``name@`` and the first eight digits of its hash."""
        ...

    @property
    def batch_size(self) -> int:
        """How many images `classify` takes best at once."""
        ...

    def classify(self, images: Sequence[bytes]) -> Iterable[Prediction | ImageError]:
        """Classify images; the results come in the same order, each as soon as it is known.

        Take them all before the next call.

        An image that cannot be classified gives the error that says why, and hurts no other. A
        `DecoderCrashError` among them is for people to look at.

        Args:
            images: Whole files, as they were sent.
        """
        ...
