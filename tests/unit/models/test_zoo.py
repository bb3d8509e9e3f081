"""Bundles are made once, also by concurrent processes and beside leftovers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from iraas.errors import BundleError, ConfigurationError, MissingExtraError
from iraas.models import zoo
from iraas.models.bundle import MANIFEST_FILE, is_complete, load_bundle
from iraas.models.zoo import DEFAULT_MODEL, MODELS, ensure_bundle
from tests.effects import recorded

ASK = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from iraas.models.zoo import DEFAULT_MODEL, ensure_bundle
    print("at", ensure_bundle(DEFAULT_MODEL, Path(sys.argv[1]), report=print))
    print("heavy", sorted({"numpy", "torch", "onnx", "onnxruntime", "PIL"} & set(sys.modules)))
    """
)


@pytest.fixture
def quick_export(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The exporter replaced by a copy of what it made before; the directories it was given."""
    given: list[Path] = []

    def copy(name: str, directory: Path) -> None:
        given.append(directory)
        shutil.copytree(bundle_path, directory, dirs_exist_ok=True)

    monkeypatch.setattr(zoo, "_export", copy)
    return given


def test_several_processes_at_once_make_one_bundle_and_run_no_module_of_their_folder(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    images = tmp_path_factory.mktemp("images")
    (images / "torch.py").write_text("raise SystemExit('a stranger ran')")
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, tmp_path], stdout=subprocess.PIPE, text=True, cwd=images
        )
        for _ in range(3)
    ]
    said = [asker.communicate(timeout=240)[0] for asker in askers]

    assert [asker.returncode for asker in askers] == [0, 0, 0]
    assert sum("making the model bundle" in text for text in said) == 1
    directories = {line for text in said for line in text.splitlines() if line.startswith("at ")}
    assert directories == {f"at {tmp_path / 'efficientnet-lite0-r1'}"}
    assert load_bundle(tmp_path / "efficientnet-lite0-r1").facts.name == DEFAULT_MODEL
    assert all("heavy []" in text for text in said)
    assert {path.name for path in tmp_path.iterdir()} == {
        "efficientnet-lite0-r1",
        "efficientnet-lite0-r1.lock",
    }


def test_a_bundle_that_is_there_is_found_by_its_manifest_alone(bundle_path: Path) -> None:
    """Neither is the model read, nor a lock taken, nor a process started."""
    with recorded("open") as opened:
        assert ensure_bundle(DEFAULT_MODEL, bundle_path.parent) == bundle_path

    # Opened once, which is recorded twice: by `open`, and by the system call below it.
    assert [path for path, *_ in opened] == [str(bundle_path / MANIFEST_FILE)] * 2


def test_a_corrupt_bundle_is_replaced(quick_export: list[Path], tmp_path: Path) -> None:
    first = ensure_bundle(DEFAULT_MODEL, tmp_path)
    os.truncate(first / "model.onnx", 1_000)

    second = ensure_bundle(DEFAULT_MODEL, tmp_path)

    assert second == first
    assert load_bundle(second).model_path.stat().st_size > 1_000_000
    assert len(quick_export) == 2


def test_files_of_a_killed_exporter_are_removed(quick_export: list[Path], tmp_path: Path) -> None:
    left = tmp_path / ".efficientnet-lite0-r1-abc123"
    left.mkdir()
    (left / "model.onnx").write_bytes(b"half")

    made = ensure_bundle(DEFAULT_MODEL, tmp_path)

    assert is_complete(made)
    assert not left.exists()


def test_a_failing_exporter_leaves_nothing_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = MODELS[DEFAULT_MODEL]
    monkeypatch.setitem(MODELS, "unknown-to-the-child", replace(broken, name="no-such-model"))

    with pytest.raises(BundleError, match="no model 'no-such-model'") as caught:
        ensure_bundle("unknown-to-the-child", tmp_path)

    assert "iraas.models.export" in caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["no-such-model-r1.lock"]


def test_an_incomplete_bundle_of_the_exporter_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_half(name: str, directory: Path) -> None:
        (directory / "model.onnx").write_bytes(b"half")

    monkeypatch.setattr(zoo, "_export", make_half)

    with pytest.raises(BundleError, match="incomplete bundle"):
        ensure_bundle(DEFAULT_MODEL, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["efficientnet-lite0-r1.lock"]


def test_waiting_for_another_maker_has_an_end(
    quick_export: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "EXPORT_TIMEOUT_S", 0.2)
    said: list[str] = []

    with (
        zoo._lock(tmp_path / "efficientnet-lite0-r1.lock", said.append),
        pytest.raises(BundleError, match="another process"),
    ):
        ensure_bundle(DEFAULT_MODEL, tmp_path, report=said.append)

    assert said == ["waiting for another process to make the model bundle"]


def test_missing_packages_are_named_with_the_extra_that_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_all_but_torch(name: str) -> object:
        return None if name == "torch" else object()

    monkeypatch.setattr(zoo, "find_spec", find_all_but_torch)

    with pytest.raises(MissingExtraError, match="torch") as caught:
        ensure_bundle(DEFAULT_MODEL, tmp_path / "cache")

    assert caught.value.remedy.endswith("pip install '.[export]'")


def test_missing_packages_do_not_matter_when_the_bundle_is_there(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "find_spec", lambda name: None)

    assert ensure_bundle(DEFAULT_MODEL, bundle_path.parent) == bundle_path


def test_a_directory_of_the_user_is_used_as_it_is(bundle_path: Path, tmp_path: Path) -> None:
    own = tmp_path / "my bundle"
    shutil.copytree(bundle_path, own)

    assert ensure_bundle(str(own), tmp_path / "cache") == own
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("model", ["", "resnet", "../../etc", "\0", "a" * 5_000])
def test_an_unknown_model_is_an_error(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no model") as caught:
        ensure_bundle(model, tmp_path)

    assert DEFAULT_MODEL in caught.value.remedy


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")

    with pytest.raises(ConfigurationError, match="cannot be written") as caught:
        ensure_bundle(DEFAULT_MODEL, in_the_way)

    assert "IRAAS_CACHE" in caught.value.remedy
