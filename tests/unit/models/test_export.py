"""The exported graph computes what torch does, and is reproducible."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from iraas.errors import BundleError
from iraas.models.bundle import load_bundle
from iraas.models.export import (
    MAX_LOGIT_DIFFERENCE,
    check_against_torch,
    imagenet_labels,
    load_torch_model,
    torch_logits,
)
from iraas.models.lite_graph import build_lite_graph
from iraas.models.onnx_telemetry import import_onnxruntime
from iraas.models.zoo import DEFAULT_MODEL, MODELS
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from iraas.models.onnx_runtime import OnnxClassifier

LITE0 = MODELS[DEFAULT_MODEL]


@pytest.fixture(scope="module")
def torch_model() -> Any:
    return load_torch_model(LITE0)


def test_torch_and_onnxruntime_agree_on_the_photographs(
    torch_model: Any,
    bundle_path: Path,
    classifier: OnnxClassifier,
    photos: list[tuple[Path, str, int]],
) -> None:
    pixels = np.stack([classifier.prepare(path.read_bytes()) for path, _, _ in photos])
    session = import_onnxruntime().InferenceSession(bundle_path / "model.onnx")

    ours = session.run(None, {"pixels": pixels})[0]
    theirs = torch_logits(torch_model, LITE0, pixels)

    assert (ours.argmax(1) == theirs.argmax(1)).all()
    assert np.abs(ours - theirs).max() < MAX_LOGIT_DIFFERENCE


def test_the_check_accepts_a_correct_export(torch_model: Any) -> None:
    right = build_lite_graph(torch_model, size=224, mean=127.0, scale=128.0)

    check_against_torch(right.SerializeToString(), torch_model, LITE0)


def test_the_check_finds_a_wrong_normalisation(torch_model: Any) -> None:
    wrong = build_lite_graph(torch_model, size=224, mean=128.0, scale=128.0)

    with pytest.raises(BundleError, match="disagrees with torch"):
        check_against_torch(wrong.SerializeToString(), torch_model, LITE0)


def test_an_export_is_silent_and_gives_the_same_bytes_again(
    bundle_path: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "iraas.models.export", DEFAULT_MODEL, tmp_path / "again"],
        capture_output=True,
        check=True,
        timeout=240,
    )

    assert (done.stdout, done.stderr) == (b"", b"")
    assert load_bundle(tmp_path / "again").digest == load_bundle(bundle_path).digest


def test_the_labels_are_those_of_the_photographs(photos: list[tuple[Path, str, int]]) -> None:
    labels = imagenet_labels()

    assert len(labels) == 1_000
    assert [labels[index] for _, _, index in photos] == [label for _, label, _ in photos]


def test_an_export_of_an_unknown_model_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "iraas.models.export", "resnet", tmp_path],
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
        text=True,
    )

    assert done.returncode == 1
    assert "no model 'resnet'" in done.stderr
    assert list(tmp_path.iterdir()) == []
