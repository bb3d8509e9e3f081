"""The artifacts that instances install: an installable wheel and a bundle, both reproducible."""

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import iraas
from iraas.backends.aws.provisioning.install_files import Artifacts, artifact
from iraas.backends.aws.provisioning.packaging import pack_bundle, pack_wheel
from iraas.errors import BundleError, ConfigurationError


def test_the_wheel_can_be_installed_and_is_this_iraas(tmp_path: Path) -> None:
    name, data = pack_wheel()
    wheel = tmp_path / name
    wheel.write_bytes(data)
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--isolated", "install", "--quiet", "--no-index"]
    subprocess.run(
        [*pip, "--no-deps", "--disable-pip-version-check", "--target", str(target), str(wheel)],
        check=True,
    )
    probe = "import iraas, sys; print(iraas.__version__, iraas.__file__)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(target)!r}); {probe}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    version, where = done.stdout.split()
    assert version == iraas.__version__
    assert Path(where).is_relative_to(target)
    assert (target / "iraas" / "backends" / "aws" / "app_tier.sh").is_file()
    assert (target / "iraas" / "backends" / "aws" / "pricing" / "prices.json").is_file()
    assert (target / "bin" / "iraas").is_file()


def test_the_wheel_lists_its_dependencies() -> None:
    _, data = pack_wheel()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        text = archive.read(metadata).decode()
        assert not [name for name in archive.namelist() if "__pycache__" in name]
    for extra in ("worker", "aws", "web"):
        assert f"Provides-Extra: {extra}" in text


def test_the_same_iraas_packs_to_the_same_bytes() -> None:
    assert pack_wheel() == pack_wheel()


def test_the_same_bundle_packs_to_the_same_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    packed = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "labels.txt").write_text("cat\n")
        (tmp_path / folder / "bundle.json").write_text("{}")
        packed.append(pack_bundle(tmp_path / folder))
    assert packed[0] == packed[1]
    with tarfile.open(fileobj=io.BytesIO(packed[0])) as archive:
        assert archive.getnames() == ["bundle.json", "labels.txt"]


def test_a_bundle_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        pack_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError):
        pack_bundle(tmp_path)


def test_an_artifacts_key_follows_from_its_content() -> None:
    assert artifact("x", b"1").key != artifact("x", b"2").key
    assert artifact("x", b"1") == artifact("x", b"1")
    assert artifact("x", b"1").key.startswith("install/")


def test_without_a_bundle_there_is_nothing_to_provide() -> None:
    with pytest.raises(ConfigurationError, match="no model bundle"):
        _ = Artifacts(None).bundle
