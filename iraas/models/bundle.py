"""A bundle: a directory that holds a model ready to run.

::

    bundle.json   the manifest: name, preprocessing, source, licence, each file's hash
    labels.txt    class names, one per line, in the order of the model's outputs, UTF-8
    model.onnx    the graph with its weights: uint8 pixels (n, size, size, 3) to float logits

The hash of ``bundle.json`` identifies the whole bundle, since it contains the hashes of the other
files. Nothing is ever unpickled: a bundle consists of JSON, text and protobuf.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from iraas.core.regular_files import open_regular, read_bounded
from iraas.errors import BundleError

FORMAT_VERSION = 1
MANIFEST_FILE = "bundle.json"
MODEL_FILE = "model.onnx"
LABELS_FILE = "labels.txt"

MAX_MANIFEST_BYTES = 1_000_000
MAX_LABELS_BYTES = 16_000_000
MAX_MODEL_BYTES = 2_000_000_000
"""The first two are far above any real file; the third is the limit of a protobuf message."""

MAX_INPUT_SIZE = 2_048
"""Side of the largest square input accepted, in pixels: twice the largest in common use."""

RESAMPLE_FILTERS = ("bilinear", "hamming", "bicubic", "lanczos")
"""Pillow's names, in lower case, of the filters that a bundle may ask for."""

_REMEDY = "delete {directory} and run the command again: this makes a new bundle"


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The transformation of an image to the model's input.

    Attributes:
        size: Side of the square input, in pixels.
        crop_padding: Pixels. The crop is the image's central square, its side scaled by
            ``size / (size + crop_padding)``.
        resample: Pillow's name of the resize filter: ``bilinear``, ``hamming``, ``bicubic`` or
            ``lanczos``.
    """

    size: int
    crop_padding: int
    resample: str


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """The contents of ``bundle.json`` besides the files' hashes.

    Attributes:
        name: The model's name in the zoo.
        preprocessing: The transformation of an image to its input.
        source: Origin of graph, weights and labels, for people.
        licence: SPDX identifier of the weights' licence.
    """

    name: str
    preprocessing: Preprocessing
    source: str
    licence: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read from its directory.

    Attributes:
        directory: Its directory.
        facts: The contents of its manifest.
        digest: SHA-256 of its ``bundle.json``, in hex.
        labels: The class names, in the order of the model's outputs.
    """

    directory: Path
    facts: BundleFacts
    digest: str
    labels: tuple[str, ...]

    @property
    def model_id(self) -> str:
        """The name and the first eight digits of the hash: ``efficientnet-lite0@1a2b3c4d``."""
        return f"{self.facts.name}@{self.digest[:8]}"

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.directory / MODEL_FILE


def write_bundle(
    directory: Path, facts: BundleFacts, *, model: bytes, labels: Sequence[str]
) -> None:
    """Write a bundle's files into an existing, empty directory, and sync them to the disk.

    Not atomic: write into a temporary directory and rename it. The same arguments give the same
    bytes, hence the same hash, on every machine.

    Args:
        directory: The directory.
        facts: The contents of the manifest.
        model: The bytes of the ONNX file.
        labels: The class names, in the order of the model's outputs, without line breaks.

    Raises:
        OSError: A file cannot be written.
    """
    text = "".join(f"{label}\n" for label in labels).encode()
    files = {LABELS_FILE: text, MODEL_FILE: model}
    manifest = {
        "format": FORMAT_VERSION,
        **asdict(facts),
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
        },
    }
    files[MANIFEST_FILE] = (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
    for name, data in files.items():
        with (directory / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def is_complete(directory: Path) -> bool:
    """Whether a directory holds a bundle of this format whose files have the right sizes.

    Computes no hash and takes well under a millisecond. `load_bundle` does the thorough check, in
    the process that runs the model.
    """
    try:
        manifest = _read_manifest(directory)[1]
        return all(
            (directory / name).stat().st_size == _file_facts(manifest, name)[0]
            for name in (LABELS_FILE, MODEL_FILE)
        )
    except (OSError, BundleError):
        return False


def load_bundle(path: Path, *, verify: bool = True) -> Bundle:
    """Read a bundle from its directory.

    Args:
        path: The directory.
        verify: Whether to check the files against their hashes (some 10 ms for 18 MB).

    Raises:
        BundleError: The bundle is missing, corrupt, of another format, or fails the check.
    """
    remedy = _REMEDY.format(directory=path)
    try:
        raw, manifest = _read_manifest(path)
        labels_data = _read_bounded(path / LABELS_FILE, MAX_LABELS_BYTES)
        if verify:
            _verify(path / LABELS_FILE, manifest, hashlib.sha256(labels_data).hexdigest())
            with open_regular(path / MODEL_FILE) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            _verify(path / MODEL_FILE, manifest, digest)
        labels = tuple(labels_data.decode().splitlines())
        facts = _facts(manifest)
    except BundleError as exc:
        raise BundleError(str(exc), remedy=exc.remedy or remedy) from exc
    except FileNotFoundError as exc:
        missing = f"no model bundle at {path}: {Path(exc.filename).name} is missing"
        raise BundleError(missing, remedy=remedy) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise BundleError(f"the bundle at {path} cannot be read: {exc}", remedy=remedy) from exc
    return Bundle(path, facts, hashlib.sha256(raw).hexdigest(), labels)


def _read_manifest(directory: Path) -> tuple[bytes, Mapping[str, Any]]:
    raw = _read_bounded(directory / MANIFEST_FILE, MAX_MANIFEST_BYTES)
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise BundleError(f"{directory / MANIFEST_FILE} is not JSON: {exc}") from exc
    if not isinstance(manifest, Mapping):
        raise BundleError(f"{directory / MANIFEST_FILE} is not a JSON object")
    if manifest.get("format") != FORMAT_VERSION:
        raise BundleError(
            f"the bundle at {directory} is of format {manifest.get('format')!r}, "
            f"this iraas reads format {FORMAT_VERSION}"
        )
    return raw, manifest


def _read_bounded(path: Path, limit_bytes: int) -> bytes:
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit_bytes:
            raise BundleError(f"{path} is over {limit_bytes:,} bytes")
        return read_bounded(file, limit_bytes)


def _file_facts(manifest: Mapping[str, Any], name: str) -> tuple[int, str]:
    try:
        facts = manifest["files"][name]
        size, digest = facts["bytes"], facts["sha256"]
    except (KeyError, TypeError) as exc:
        raise BundleError(f"{MANIFEST_FILE} has no hash of {name}") from exc
    if not isinstance(size, int) or not 0 <= size <= MAX_MODEL_BYTES or not isinstance(digest, str):
        raise BundleError(f"{MANIFEST_FILE} has a wrong size or hash of {name}")
    return size, digest


def _verify(path: Path, manifest: Mapping[str, Any], digest: str) -> None:
    if digest != _file_facts(manifest, path.name)[1]:
        raise BundleError(f"the SHA-256 of {path} is not the one in {MANIFEST_FILE}")


def _facts(manifest: Mapping[str, Any]) -> BundleFacts:
    stated = manifest.get("preprocessing")
    numbers = stated if isinstance(stated, Mapping) else {}
    size, padding, resample = (numbers.get(key) for key in ("size", "crop_padding", "resample"))
    if not (
        isinstance(size, int)
        and isinstance(padding, int)
        and 0 < size <= MAX_INPUT_SIZE
        and 0 <= padding <= size
        and resample in RESAMPLE_FILTERS
    ):
        raise BundleError(f"{MANIFEST_FILE} has preprocessing that this version does not support")
    name, source, licence = (manifest.get(key) for key in ("name", "source", "licence"))
    if not (isinstance(name, str) and isinstance(source, str) and isinstance(licence, str)):
        raise BundleError(f"{MANIFEST_FILE} lacks a name, a source or a licence")
    return BundleFacts(name, Preprocessing(size, padding, resample), source, licence)
