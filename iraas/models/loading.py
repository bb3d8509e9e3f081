"""Loading a classifier, and with it the packages of the ``worker`` extra.

Importing this module loads none of them, so that a process can be confined before they are.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from iraas.decoding.limits import DEFAULT_LIMITS, DecodeLimits
from iraas.errors import MissingExtraError, how_to_install
from iraas.models.bundle import load_bundle

if TYPE_CHECKING:
    from iraas.models.onnx_runtime import OnnxClassifier


def load_classifier(
    bundle_path: Path,
    *,
    threads: int = 1,
    limits: DecodeLimits = DEFAULT_LIMITS,
    verify: bool = True,
) -> "OnnxClassifier":
    """The classifier of a bundle's directory, ready to run; takes about 0.3 s with its imports.

    Args:
        bundle_path: As `iraas.models.zoo.ensure_bundle` gives it.
        threads: Cores to use for one inference, at least 1.
        limits: The limits on decoding one image.
        verify: Whether to check the files against their hashes first.

    Raises:
        BundleError: The bundle is missing, corrupt, or cannot be run.
        MissingExtraError: onnxruntime, numpy or Pillow is not installed.
    """
    if "numpy" not in sys.modules:
        # numpy's BLAS starts a thread per core when it is imported, in every one of a machine's
        # worker processes, and nothing here uses it.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    bundle = load_bundle(bundle_path, verify=verify)
    try:
        from iraas.models.onnx_runtime import OnnxClassifier  # noqa: PLC0415 - an optional extra

        return OnnxClassifier(bundle, threads=threads, limits=limits)
    except ImportError as exc:
        raise MissingExtraError(
            f"classifying needs a package that is not installed: {exc.name}",
            remedy=how_to_install("worker"),
        ) from exc
