"""Inference of a bundle on a CPU with onnxruntime: one process, one thread, one core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from iraas.core.outcomes import MAX_TOP, LabelScore, Prediction
from iraas.decoding.limits import DEFAULT_LIMITS, DecodeLimits
from iraas.errors import BundleError, ImageError
from iraas.models.onnx_telemetry import import_onnxruntime
from iraas.models.preprocessing import prepare_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from iraas.models.bundle import Bundle, Preprocessing


_LOG_ERRORS: Final = 3


class OnnxClassifier:
    """`iraas.core.ports.Classifier` on onnxruntime.

    Holds the model in memory (about 90 MB with all imports). Not thread-safe.
    """

    def __init__(
        self, bundle: Bundle, *, threads: int = 1, limits: DecodeLimits = DEFAULT_LIMITS
    ) -> None:
        """Load the model.

        Args:
            bundle: The bundle.
            threads: Threads of one inference, at least 1. One process per core with one thread
                each has more throughput than one process with several.
            limits: Limits on the cost of decoding one image.

        Raises:
            BundleError: The model cannot be loaded, or does not fit its labels.
            ImportError: onnxruntime is not installed.
        """
        self._bundle = bundle
        self._limits = limits
        self._session = _session(import_onnxruntime(), bundle, threads)
        self._input_name = str(self._session.get_inputs()[0].name)
        self._duplicate_labels = _duplicate_labels(bundle.labels)

    @property
    def model_id(self) -> str:
        """The bundle: ``efficientnet-lite0@1a2b3c4d``."""
        return self._bundle.model_id

    @property
    def batch_size(self) -> int:
        """1: batching gains nothing on a CPU."""
        return 1

    @property
    def preprocessing(self) -> Preprocessing:
        """The transformation of an image to the model's input."""
        return self._bundle.facts.preprocessing

    def prepare(self, data: bytes) -> NDArray[np.uint8]:
        """Decode an image to the model's input.

        Args:
            data: The bytes of the image file.

        Returns:
            uint8 RGB pixels of shape (size, size, 3).

        Raises:
            ImageError: The image cannot be decoded within the limits.
        """
        return prepare_pixels(data, self.preprocessing, self._limits)

    def infer(self, batch: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Classify prepared images.

        Args:
            batch: Pixels as `prepare` returns them; may be empty.

        Returns:
            One prediction per image, in order.
        """
        if not batch:
            return []
        pixels = batch[0][None] if len(batch) == 1 else np.stack(batch)
        (logits,) = self._session.run(None, {self._input_name: pixels})
        return [self._prediction(row) for row in logits]

    def classify(self, images: Sequence[bytes]) -> list[Prediction | ImageError]:
        """Prepare and infer; see `iraas.core.ports.Classifier.classify`."""
        return [self._classify(image) for image in images]

    def _classify(self, image: bytes) -> Prediction | ImageError:
        try:
            return self.infer([self.prepare(image)])[0]
        except ImageError as exc:
            return exc

    def _prediction(self, logits: NDArray[np.float32]) -> Prediction:
        powers = np.exp(logits - logits.max(), dtype=np.float64)
        for index, first in self._duplicate_labels:
            powers[first] += powers[index]
            powers[index] = 0.0
        count = min(MAX_TOP, len(powers) - len(self._duplicate_labels))
        best = np.argpartition(powers, -count)[-count:]
        best = best[np.argsort(-powers[best], kind="stable")]
        scores = powers[best] / powers.sum()
        labels = self._bundle.labels
        return Prediction(
            tuple(
                LabelScore(labels[index], score)
                for index, score in zip(best.tolist(), scores.tolist(), strict=True)
            )
        )


def _session(onnxruntime: Any, bundle: Bundle, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _LOG_ERRORS
    # A worker shares its machine: a waiting thread must not spin on its core.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    remedy = f"delete {bundle.directory} and run the command again: this makes a new bundle"
    try:
        session = onnxruntime.InferenceSession(
            str(bundle.model_path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as exc:  # onnxruntime's errors have no common base class
        raise BundleError(
            f"onnxruntime cannot load {bundle.model_path}: {exc}", remedy=remedy
        ) from exc
    size = bundle.facts.preprocessing.size
    inputs, outputs = session.get_inputs(), session.get_outputs()
    fits = (
        len(inputs) == len(outputs) == 1
        and inputs[0].type == "tensor(uint8)"
        and list(inputs[0].shape)[1:] == [size, size, 3]
        and list(outputs[0].shape)[1:] == [len(bundle.labels)]
    )
    if not fits:
        raise BundleError(
            f"the input or output shapes of {bundle.model_path} do not match its bundle",
            remedy=remedy,
        )
    return session


def _duplicate_labels(labels: Sequence[str]) -> list[tuple[int, int]]:
    """The indexes of classes with the same label as an earlier one, each with that one's index.

    ImageNet has two classes of missiles and two of sunglasses; to a person each pair is one label,
    and its score is the sum.
    """
    first: dict[str, int] = {}
    return [
        (index, first[label])
        for index, label in enumerate(labels)
        if first.setdefault(label, index) != index
    ]
