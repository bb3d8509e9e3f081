"""The classifier labels real photographs, and refuses a model that does not match its bundle."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pytest

from iraas.decoding.limits import DecodeLimits
from iraas.errors import BundleError, ImageTooLargeError
from iraas.models.bundle import BundleFacts, Preprocessing, load_bundle, write_bundle
from iraas.models.loading import load_classifier
from iraas.models.onnx_runtime import OnnxClassifier
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from iraas.core.outcomes import Prediction
    from iraas.core.ports import Classifier

MAX_MEMORY_MB = 250


@pytest.fixture(scope="module")
def predictions(
    classifier: OnnxClassifier, photos: list[tuple[Path, str, int]]
) -> list[tuple[str, Prediction]]:
    return [
        (label, classifier.infer([classifier.prepare(path.read_bytes())])[0])
        for path, label, _ in photos
    ]


def test_nineteen_of_twenty_photographs_are_right_in_the_top_five(
    predictions: list[tuple[str, Prediction]],
) -> None:
    right = [label for label, one in predictions if label in {score.label for score in one.top}]

    assert len(predictions) == 20
    assert len(right) >= 19


def test_fifteen_of_twenty_photographs_are_right_at_once(
    predictions: list[tuple[str, Prediction]],
) -> None:
    assert sum(one.label == label for label, one in predictions) >= 15


def test_where_the_model_is_sure_it_is_right(predictions: list[tuple[str, Prediction]]) -> None:
    sure = [(label, one.label) for label, one in predictions if one.score >= 0.8]

    assert len(sure) >= 10
    assert [label for label, _ in sure] == [said for _, said in sure]


def test_scores_are_probabilities_best_first(predictions: list[tuple[str, Prediction]]) -> None:
    for _, one in predictions:
        scores = [score.score for score in one.top]
        assert len(scores) == 5
        assert scores == sorted(scores, reverse=True)
        assert 0 < sum(scores) <= 1 + 1e-9
        assert len({score.label for score in one.top}) == 5


def test_a_batch_says_the_same_as_its_images_one_by_one(
    classifier: OnnxClassifier, photos: list[tuple[Path, str, int]]
) -> None:
    prepared = [classifier.prepare(path.read_bytes()) for path, _, _ in photos[:4]]

    together = classifier.infer(prepared)
    singly = [classifier.infer([one])[0] for one in prepared]

    assert [one.label for one in together] == [one.label for one in singly]
    assert [one.score for one in together] == pytest.approx([one.score for one in singly], abs=1e-4)


def test_no_images_have_no_predictions(classifier: OnnxClassifier) -> None:
    assert classifier.infer([]) == []


def test_it_is_a_classifier_to_the_type_checker(
    classifier: OnnxClassifier, bundle_path: Path
) -> None:
    port: Classifier = classifier

    assert port.model_id == load_bundle(bundle_path).model_id
    assert port.model_id.startswith("efficientnet-lite0@")
    assert port.batch_size == 1


def test_classes_of_one_name_are_one_label_with_their_sum(classifier: OnnxClassifier) -> None:
    logits = np.full(1_000, -20.0, dtype=np.float32)
    logits[[657, 744]] = 5.0  # both are called missile
    logits[895] = 5.5

    prediction = classifier._prediction(logits)

    assert prediction.label == "missile"
    assert prediction.score == pytest.approx(2 / (2 + np.exp(0.5)), abs=1e-3)
    assert [score.label for score in prediction.top].count("missile") == 1


def test_the_pixel_limit_is_passed_on(
    bundle_path: Path, photos: list[tuple[Path, str, int]]
) -> None:
    strict = load_classifier(bundle_path, limits=DecodeLimits(max_pixels=1_000))

    with pytest.raises(ImageTooLargeError, match="the limit is 1,000"):
        strict.prepare(photos[0][0].read_bytes())


def test_a_bundle_whose_model_was_swapped_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    own = tmp_path / "bundle"
    shutil.copytree(bundle_path, own)
    with (own / "model.onnx").open("r+b") as file:
        file.seek(5_000_000)
        file.write(b"swapped")

    with pytest.raises(BundleError, match="SHA-256"):
        load_classifier(own)


def test_a_model_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    facts = BundleFacts("toy", Preprocessing(8, 0, "bicubic"), "made up", "CC0-1.0")
    write_bundle(tmp_path, facts, model=b"not a graph", labels=["one"])

    with pytest.raises(BundleError, match="onnxruntime cannot load") as caught:
        load_classifier(tmp_path)

    assert caught.value.remedy


@pytest.mark.parametrize(("size", "classes"), [(224, 999), (192, 1_000)])
def test_a_model_that_does_not_fit_its_bundle_is_refused(
    size: int, classes: int, bundle_path: Path, tmp_path: Path
) -> None:
    facts = BundleFacts("toy", Preprocessing(size, 32, "bicubic"), "made up", "CC0-1.0")
    model = (bundle_path / "model.onnx").read_bytes()
    write_bundle(tmp_path, facts, model=model, labels=[str(one) for one in range(classes)])

    with pytest.raises(BundleError, match=r"shapes of .* do not match"):
        load_classifier(tmp_path)


def test_a_process_loads_no_framework_and_stays_small(
    bundle_path: Path, photos: list[tuple[Path, str, int]]
) -> None:
    script = """
        import sys
        from pathlib import Path
        from iraas.models.loading import load_classifier

        classifier = load_classifier(Path(sys.argv[1]))
        prediction = classifier.infer([classifier.prepare(Path(sys.argv[2]).read_bytes())])[0]
        peak_kb = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
        heavy = {"torch", "torchvision", "onnx", "scipy", "pandas"} & set(sys.modules)
        print(prediction.label, peak_kb / 1024, *heavy, sep=",")
    """
    path, label, _ = photos[8]

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), bundle_path, path],
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
        text=True,
    )

    ((said, peak_mb, *heavy),) = csv.reader([done.stdout.strip()])
    assert said == label
    assert float(peak_mb) < MAX_MEMORY_MB
    assert heavy == []
    assert done.stderr == ""
