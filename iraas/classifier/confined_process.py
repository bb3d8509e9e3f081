"""The process that decodes and classifies images of strangers: it can reach nothing but the model.

Started by `iraas.classifier.confined`. The first frame on its standard input says what to run; its
greeting goes out once the model is loaded; then it answers each image by one frame. It leaves when
its input ends, which is when its parent closes it or is gone.
"""

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from iraas.classifier.answers import Greeting, encode_answer
from iraas.core.outcomes import Prediction
from iraas.errors import BundleError, ImageError, MissingExtraError
from iraas.sandbox.confinement import Confinement, confine, confine_files_after_loading
from iraas.sandbox.frames import read_frame, write_frame
from iraas.sandbox.limits import cpu_budget, end_with_parent, limit_files, limit_memory

if TYPE_CHECKING:
    from iraas.classifier.onnx_runtime import OnnxClassifier

MAX_REQUEST_BYTES = 1_000_000_000


def main() -> None:
    """Run as a process."""
    end_with_parent()
    # Libraries in C may print: what they print must not be taken for an answer.
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Its parent tells it to leave, by closing its input, once its last image is answered for.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    source = sys.stdin.buffer
    order = json.loads(read_frame(source, max_bytes=MAX_REQUEST_BYTES) or b"{}")
    limit_files()
    confinement = confine([Path(order["bundle"])])
    classifier = _load(order, confinement, sink)
    if classifier is not None:
        _serve(classifier, source, sink, order["image_cpu_s"])


def _load(
    order: dict[str, Any], confinement: Confinement, sink: BinaryIO
) -> "OnnxClassifier | None":
    """Load the model, close what is still open, and greet; None if that cannot be."""
    from iraas.classifier.onnx_runtime import load_classifier  # noqa: PLC0415 - once confined

    try:
        # Its parent has checked the hashes, or somebody before it.
        classifier = load_classifier(
            Path(order["bundle"]),
            max_pixels=order["max_pixels"],
            verify=order["verify"],
        )
    except (BundleError, MissingExtraError) as error:
        is_missing = isinstance(error, MissingExtraError)
        failure = Greeting("", str(error), error.remedy, is_incomplete_install=is_missing)
        write_frame(sink, json.dumps(asdict(failure)).encode())
        return None
    confinement = confine_files_after_loading(confinement)
    unlimited = "" if limit_memory(order["headroom_bytes"]) else "memory"
    missing = ", ".join(one for one in (confinement.missing, unlimited) if one)
    greeting = Greeting(classifier.model_id, unconfined=missing)
    write_frame(sink, json.dumps(asdict(greeting)).encode())
    return classifier


def _serve(
    classifier: "OnnxClassifier", source: BinaryIO, sink: BinaryIO, image_cpu_s: float
) -> None:
    while (image := read_frame(source, max_bytes=MAX_REQUEST_BYTES)) is not None:
        write_frame(sink, encode_answer(_classify(classifier, image, image_cpu_s)))


def _classify(
    classifier: "OnnxClassifier", image: bytes, image_cpu_s: float
) -> Prediction | ImageError:
    try:
        with cpu_budget(image_cpu_s):
            pixels = classifier.prepare(image)
    except ImageError as exc:
        return exc
    return classifier.infer([pixels])[0]


if __name__ == "__main__":
    main()
