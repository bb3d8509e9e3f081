"""The process that decodes and classifies untrusted images: it can access nothing but the model.

Started by `iraas.models.confined_classifier`. The first frame on its standard input is its
configuration; it sends a greeting once the model is loaded, and then one frame for each image. It
exits when its input ends, which is when its parent closes it or has exited.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from iraas.core.json_record import write_record
from iraas.decoding.limits import DecodeLimits
from iraas.errors import BundleError, ImageError, MissingExtraError
from iraas.models.confined_protocol import Greeting, encode_answer
from iraas.models.loading import load_classifier
from iraas.sandbox.child import Child
from iraas.sandbox.confinement import Confinement, confine, confine_after_loading
from iraas.sandbox.limits import cpu_budget, limit_memory

if TYPE_CHECKING:
    from iraas.models.onnx_runtime import OnnxClassifier


def main() -> None:
    """Serve requests until the input ends."""
    child = Child()
    confinement = confine([Path(child.order["bundle"])])
    classifier = _load(child, confinement)
    if classifier is not None:
        for image in child.requests():
            child.reply(_answer(classifier, image, child.order["image_cpu_s"]))


def _load(child: Child, confinement: Confinement) -> "OnnxClassifier | None":
    """Load the model, finish the confinement and send the greeting; None if it cannot be loaded."""
    order = child.order
    limits = DecodeLimits.within_budget(order["max_pixels"], order["image_cpu_s"])
    try:
        classifier = load_classifier(Path(order["bundle"]), limits=limits, verify=order["verify"])
    except (BundleError, MissingExtraError) as error:
        is_missing = isinstance(error, MissingExtraError)
        failure = Greeting("", str(error), error.remedy, is_incomplete_install=is_missing)
        child.reply(write_record(failure))
        return None
    unlimited = "" if limit_memory(order["headroom_bytes"]) else "memory"
    confinement = confine_after_loading(confinement)
    missing = ", ".join(part for part in (confinement.missing, unlimited) if part)
    greeting = Greeting(classifier.model_id, unconfined=missing)
    child.reply(write_record(greeting))
    return classifier


def _answer(classifier: "OnnxClassifier", image: bytes, image_cpu_s: float) -> bytes:
    try:
        with cpu_budget(image_cpu_s):
            pixels = classifier.prepare(image)
    except ImageError as exc:
        # Not kept until the next image: its traceback holds the pixels of this one.
        return encode_answer(exc)
    return encode_answer(classifier.infer([pixels])[0])


if __name__ == "__main__":
    main()
