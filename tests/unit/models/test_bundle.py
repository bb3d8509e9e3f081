"""A bundle is read only if it matches its manifest."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

import pytest

from iraas.errors import BundleError
from iraas.models.bundle import (
    MANIFEST_FILE,
    BundleFacts,
    Preprocessing,
    is_complete,
    load_bundle,
    write_bundle,
)

if TYPE_CHECKING:
    from pathlib import Path

FACTS = BundleFacts(
    name="toy",
    preprocessing=Preprocessing(size=8, crop_padding=1, resample="bicubic"),
    source="made up",
    licence="CC0-1.0",
)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    path = tmp_path / "toy"
    path.mkdir()
    write_bundle(path, FACTS, model=b"graph", labels=["Pferd", "âne, bourrique"])
    return path


def change_manifest(bundle: Path, **changes: object) -> None:
    path = bundle / MANIFEST_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_bundle_is_read_as_it_was_written(toy: Path) -> None:
    bundle = load_bundle(toy)

    assert bundle.facts == FACTS
    assert bundle.labels == ("Pferd", "âne, bourrique")
    assert bundle.model_path.read_bytes() == b"graph"


def test_its_id_is_its_name_and_the_start_of_its_hash(toy: Path) -> None:
    bundle = load_bundle(toy)

    assert bundle.model_id == f"toy@{bundle.digest[:8]}"
    assert len(bundle.digest) == 64


def test_the_same_content_has_the_same_hash_anywhere(toy: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    write_bundle(other, FACTS, model=b"graph", labels=["Pferd", "âne, bourrique"])

    assert load_bundle(other).digest == load_bundle(toy).digest


def test_another_model_has_another_hash(toy: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    write_bundle(other, FACTS, model=b"other", labels=["Pferd", "âne, bourrique"])

    assert load_bundle(other).digest != load_bundle(toy).digest


@pytest.mark.parametrize("name", ["model.onnx", "labels.txt"])
def test_a_changed_file_is_found_by_its_hash(name: str, toy: Path) -> None:
    data = bytearray((toy / name).read_bytes())
    data[1] ^= 1
    (toy / name).write_bytes(data)

    with pytest.raises(BundleError, match=rf"SHA-256 of .*{name}") as caught:
        load_bundle(toy)

    assert "delete" in caught.value.remedy
    assert is_complete(toy)


@pytest.mark.parametrize("name", ["model.onnx", "labels.txt", "bundle.json"])
def test_a_missing_file_is_named(name: str, toy: Path) -> None:
    (toy / name).unlink()

    with pytest.raises(BundleError, match=name) as caught:
        load_bundle(toy)

    assert caught.value.remedy
    assert not is_complete(toy)


@pytest.mark.parametrize("name", ["model.onnx", "labels.txt", "bundle.json"])
def test_a_file_cut_short_is_seen_without_hashing(name: str, toy: Path) -> None:
    data = (toy / name).read_bytes()
    (toy / name).write_bytes(data[:-3])

    assert not is_complete(toy)
    with pytest.raises(BundleError):
        load_bundle(toy)


def test_a_missing_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no model bundle at"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "[" * 100_000, '{"format": 1}', '{"format": 1, "files": 3}']
)
def test_an_invalid_manifest_is_an_error(text: str, toy: Path) -> None:
    (toy / MANIFEST_FILE).write_text(text)

    assert not is_complete(toy)
    with pytest.raises(BundleError):
        load_bundle(toy)


def test_an_endless_manifest_is_not_read(toy: Path) -> None:
    (toy / MANIFEST_FILE).write_text(" " * 1_000_001)

    with pytest.raises(BundleError, match="1,000,000 bytes"):
        load_bundle(toy)


def test_another_format_is_named(toy: Path) -> None:
    change_manifest(toy, format=2)

    with pytest.raises(BundleError, match="format 2, this iraas reads format 1"):
        load_bundle(toy)


@pytest.mark.parametrize(
    "preprocessing",
    [
        None,
        {},
        {"size": 0, "crop_padding": 0, "resample": "bicubic"},
        {"size": 100_000, "crop_padding": 0, "resample": "bicubic"},
        {"size": 224, "crop_padding": -1, "resample": "bicubic"},
        {"size": "224", "crop_padding": 32, "resample": "bicubic"},
        {"size": 224, "crop_padding": 32, "resample": "__class__"},
        {"size": 224, "crop_padding": 32, "resample": ["bicubic"]},
    ],
)
def test_invalid_preprocessing_is_an_error(preprocessing: object, toy: Path) -> None:
    change_manifest(toy, preprocessing=preprocessing)

    with pytest.raises(BundleError, match="preprocessing"):
        load_bundle(toy)


@pytest.mark.parametrize("fact", ["name", "source", "licence"])
def test_a_fact_that_is_not_text_is_an_error(fact: str, toy: Path) -> None:
    change_manifest(toy, **{fact: 5})

    with pytest.raises(BundleError, match="name"):
        load_bundle(toy)


def test_labels_that_are_not_text_are_an_error(toy: Path) -> None:
    (toy / "labels.txt").write_bytes(b"\xff\xfe\n")

    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(toy, verify=False)


@pytest.mark.parametrize("name", ["bundle.json", "labels.txt", "model.onnx"])
@pytest.mark.parametrize("kind", ["pipe", "link to a device"])
def test_an_endless_or_silent_file_is_an_error_and_blocks_nothing(
    toy: Path, name: str, kind: str
) -> None:
    path = toy / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    assert not is_complete(toy)
    with pytest.raises(BundleError, match="it is not a regular file"):
        load_bundle(toy)


def test_no_file_but_the_three_is_read_whatever_the_manifest_names(
    toy: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "private"
    outside.write_bytes(b"private")
    files = json.loads((toy / MANIFEST_FILE).read_text())["files"]
    files["../private"] = {"bytes": 7, "sha256": hashlib.sha256(b"private").hexdigest()}
    change_manifest(toy, files=files, labels="../private")
    outside.unlink()
    assert load_bundle(toy).labels == ("Pferd", "âne, bourrique")
