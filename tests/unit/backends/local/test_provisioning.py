"""Making and removing a local deployment: unmanaged files are not touched."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iraas.backends.local.backend import LocalBackend
from iraas.core.ports import OutboundMessage
from iraas.errors import BackendError, BackendUnavailableError

IDLE = [sys.executable, "-S", "-E", "-c", "import signal; signal.pause()"]


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[LocalBackend]:
    backend = LocalBackend(tmp_path / "home", "demo", capacity=2, worker_command=IDLE)
    yield backend
    backend.fleet.terminate([one.instance_id for one in backend.fleet.instances()])
    backend.close()


def fill(backend: LocalBackend) -> None:
    backend.requests.send([OutboundMessage("a")])
    backend.dead_letters.send([OutboundMessage("b")])
    backend.responses.create("me").send([OutboundMessage("c")])
    for store in (backend.inputs, backend.outputs, backend.records):
        store.put("job/00000/1", b"x")
        store.put_if_absent([("job/00001/2", b"y")])
    backend.fleet.launch(2)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def folder_detail(backend: LocalBackend) -> str:
    (detail,) = [one.detail for one in backend.provisioning.plan() if one.kind == "folder"]
    return detail


def test_opening_a_backend_touches_nothing(tmp_path: Path, backend: LocalBackend) -> None:
    backend.provisioning.plan()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", ".hidden"])
def test_a_deployment_has_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="deployment"):
        LocalBackend(tmp_path, name)


def test_teardown_leaves_not_one_file(backend: LocalBackend) -> None:
    fill(backend)
    backend.provisioning.teardown()
    assert not backend.folder.exists()
    assert backend.fleet.instances() == []


def test_teardown_leaves_the_files_of_others(backend: LocalBackend) -> None:
    fill(backend)
    unmanaged = {
        "notes.txt",
        "inputs/my holiday.jpg",
        "outputs/job/.keep",
        "queues/other.db",
        "fleet/readme",
        "fleet/logs/mine.log",
    }
    for name in unmanaged:
        (backend.folder / name).write_text("mine")
    other = LocalBackend(backend.folder.parent, "other")
    other.outputs.put("kept", b"x")
    backend.provisioning.teardown()
    left = files(backend.folder)
    assert unmanaged <= left
    assert {name for name in left if (backend.folder / name).is_file()} == unmanaged
    assert other.outputs.get("kept") == b"x"


def test_a_teardown_names_the_files_that_it_leaves(backend: LocalBackend) -> None:
    fill(backend)
    assert folder_detail(backend) == ""
    (backend.folder / "notes.txt").write_text("mine")
    (backend.folder / "inputs" / "my holiday.jpg").write_text("mine")
    assert "notes.txt" in folder_detail(backend)
    backend.provisioning.teardown()
    assert folder_detail(backend).endswith(": notes.txt, inputs/my holiday.jpg")


def test_reading_a_queue_does_not_create_it(backend: LocalBackend) -> None:
    assert backend.requests.depth().total == backend.dead_letters.depth().total == 0
    assert not backend.folder.exists()


def test_teardown_follows_no_link(backend: LocalBackend, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "requests.db").write_text("mine")
    (outside / "a").write_text("mine")
    backend.provisioning.provision()
    (backend.folder / "inputs").rmdir()
    (backend.folder / "inputs").symlink_to(outside)
    (backend.folder / "outputs" / "job").symlink_to(outside)
    (backend.folder / "fleet").symlink_to(outside)
    backend.provisioning.teardown()
    assert files(outside) == {"requests.db", "a"}


def test_a_deployment_that_is_a_link_is_refused(backend: LocalBackend, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    backend.folder.parent.mkdir()
    backend.folder.symlink_to(outside)
    for act in (backend.provisioning.teardown, backend.provisioning.provision):
        with pytest.raises(BackendError, match="link"):
            act()


def test_keeping_the_data_keeps_the_stores_alone(backend: LocalBackend) -> None:
    fill(backend)
    backend.provisioning.teardown(keep_data=True)
    assert {path.name for path in backend.folder.iterdir()} == {"inputs", "outputs", "records"}


def test_teardown_waits_for_a_controller_and_names_it(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iraas.backends.local.provisioning._TEARDOWN_TIMEOUT_S", 0.1)
    fill(backend)
    other = LocalBackend(backend.folder.parent, "demo")
    assert other.lease.hold()
    with pytest.raises(BackendUnavailableError, match="process") as caught:
        backend.provisioning.teardown()
    assert f"kill {os.getpid()}" in caught.value.remedy
    assert backend.requests.depth().total == 1
    other.close()
    backend.provisioning.teardown()
    assert not backend.folder.exists()


def test_a_plan_lists_counts_and_sizes(backend: LocalBackend) -> None:
    fill(backend)
    details = {(one.kind, one.name): one.detail for one in backend.provisioning.plan()}
    assert details["store", "outputs"] == "2 objects, 2 bytes"
    assert details["queue", "requests"].startswith("1 messages, ")
    assert ("response queue", "me") in details
    assert sum(kind == "worker" for kind, _ in details) == 2
