"""Packages for instances, built from the running installation: the iraas wheel and the model
bundle.

Both are reproducible: equal content gives equal bytes, so that their hash can name them.
"""

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import iraas
from iraas.backends.aws.fleet.user_data import SCRIPT, read_script
from iraas.errors import BundleError, ConfigurationError

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can represent."""

_METADATA = ("METADATA", "entry_points.txt")
_SKIPPED = ("__pycache__",)
_SUFFIXES = (".pyc", ".pyo")


def pack_wheel() -> tuple[str, bytes]:
    """Build the wheel of the running iraas.

    Works for an installed package and for a checkout, without a build tool: iraas is pure Python.

    Returns:
        The file name and the content.

    Raises:
        ConfigurationError: iraas is not installed, so that its metadata is unavailable.
    """
    version = iraas.__version__
    info = f"iraas-{version}.dist-info"
    files = dict(_package_files())
    files[f"iraas/backends/aws/{SCRIPT}"] = read_script().encode()
    installed = distribution("iraas")
    for name in _METADATA:
        text = installed.read_text(name)
        if text is None:
            raise ConfigurationError(
                f"iraas is not installed as a package: {name} is missing",
                remedy="Install it; in a checkout with: pip install -e .",
            )
        files[f"{info}/{name}"] = text.encode()
    wheel = "Wheel-Version: 1.0\nGenerator: iraas\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/WHEEL"] = wheel.encode()
    record = "".join(f"{name},{_record_hash(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    return f"iraas-{version}-py3-none-any.whl", _zip(files)


def pack_bundle(directory: Path) -> bytes:
    """Pack a model bundle as a compressed archive.

    Raises:
        BundleError: It cannot be read, or is empty.
    """
    try:
        paths = sorted(path for path in directory.iterdir() if path.is_file())
        if not paths:
            raise BundleError(f"there is no model bundle in {directory}")
        archive = io.BytesIO()
        # A time in the gzip header would change the hash of an unchanged bundle.
        with (
            gzip.GzipFile(fileobj=archive, mode="wb", mtime=0, filename="") as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for path in paths:
                data = path.read_bytes()
                member = tarfile.TarInfo(path.name)
                member.size = len(data)
                member.mode = 0o644
                tar.addfile(member, io.BytesIO(data))
    except OSError as exc:
        raise BundleError(f"the model bundle {directory} cannot be read: {exc}") from exc
    return archive.getvalue()


def _package_files() -> Iterator[tuple[str, bytes]]:
    root = Path(iraas.__file__).parent
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        skipped = path.suffix in _SUFFIXES or set(inside.parts) & set(_SKIPPED)
        if path.is_file() and not skipped:
            yield f"iraas/{inside.as_posix()}", path.read_bytes()


def _record_hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return buffer.getvalue()
