"""The count of bytes on disk: shared, restart-safe, corrected by a recount."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iraas.backends.local import disk_usage
from iraas.backends.local.backend import LocalBackend
from iraas.backends.local.directory_store import DirectoryStore
from iraas.backends.local.disk_usage import UsageCounter, allocated

ADDER = """
import sys
from pathlib import Path
from iraas.backends.local.disk_usage import UsageCounter
counter = UsageCounter(Path(sys.argv[1]))
for _ in range(500):
    counter.add(3)
    counter.add(-1)
"""
STORER = """
import sys
from pathlib import Path
from iraas.backends.local import disk_usage
from iraas.backends.local.backend import LocalBackend
backend = LocalBackend(Path(sys.argv[1]), "shop")
for number in range(1_000_000):
    backend.inputs.put_if_absent([(f"job/{number}.jpg", b"x" * 5000)])
    print(number, flush=True)
"""


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[LocalBackend]:
    one = LocalBackend(tmp_path, "shop")
    yield one
    one.close()


def used(backend: LocalBackend) -> int:
    count = backend.storage.usage().used_bytes
    assert count is not None
    return count


def test_a_count_is_kept_by_several_processes_at_once(tmp_path: Path) -> None:
    counter = UsageCounter(tmp_path / "count")
    counter.recount(lambda: 1000)
    adders = [subprocess.Popen([sys.executable, "-c", ADDER, str(counter.path)]) for _ in range(3)]
    assert [one.wait(60) for one in adders] == [0, 0, 0]
    assert counter.read() == 1000 + 3 * 500 * 2


def test_what_is_added_during_a_recount_is_counted_once(tmp_path: Path) -> None:
    counter = UsageCounter(tmp_path / "count")

    def measure() -> int:
        counter.add(70)
        return 1000

    counter.recount(measure)
    assert counter.read() == 1070


def test_of_two_recounts_at_once_the_first_one_wins(tmp_path: Path) -> None:
    counter = UsageCounter(tmp_path / "count")
    counter.recount(lambda: 50)

    def measure() -> int:
        counter.recount(lambda: 1000)
        return 1000

    counter.recount(measure)
    assert counter.read() == 1000


@pytest.mark.parametrize("garbage", [b"", b"garbage"])
def test_a_count_that_a_power_cut_has_corrupted_is_replaced(
    backend: LocalBackend, garbage: bytes
) -> None:
    backend.inputs.put("job/1.jpg", b"x" * 5000)
    assert used(backend) == allocated(5000)
    (backend.folder / "inputs.usage").write_bytes(garbage)
    assert used(backend) == allocated(5000)


def test_images_from_before_there_was_a_count_are_counted(backend: LocalBackend) -> None:
    DirectoryStore(backend.folder / "inputs").put("job/1.jpg", b"x" * 50_000)
    assert used(backend) == allocated(50_000)


def test_a_recount_notices_files_removed_manually(backend: LocalBackend) -> None:
    backend.inputs.put("job/1.jpg", b"x" * 50_000)
    assert used(backend) == allocated(50_000)
    (backend.folder / "inputs" / "job" / "1.jpg").unlink()
    backend.storage.recount()
    assert used(backend) == 0


def test_the_queue_counts_too(backend: LocalBackend) -> None:
    assert used(backend) == 0
    backend.requests.make()
    assert used(backend) > 0


def test_the_wait_for_a_process_that_was_stopped_while_counting_is_limited(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_usage, "LOCK_TIMEOUT_S", 0.1)
    assert used(backend) == 0
    backend.inputs.put("first", b"x")
    assert used(backend) == allocated(1)
    with (backend.folder / "inputs.usage").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        backend.inputs.put("second", b"x")
        assert used(backend) == allocated(1)
        backend.storage.recount()
    backend.storage.recount()
    assert used(backend) == 2 * allocated(1)


def test_a_killed_writer_leaves_a_count_that_is_wrong_by_its_last_image_at_most(
    backend: LocalBackend, tmp_path: Path
) -> None:
    assert used(backend) == 0
    backend.inputs.put("first", b"")
    assert used(backend) == 0
    command = [sys.executable, "-c", STORER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        while writer.stdout.readline() != "40\n":
            assert writer.poll() is None
        os.kill(writer.pid, signal.SIGKILL)
    really = sum(allocated(one.size_bytes) for one in backend.inputs.list())
    assert really >= 40 * allocated(5000)
    assert 0 <= really - used(backend) <= allocated(5000)
    backend.storage.recount()
    assert used(backend) == really


def test_reading_the_usage_creates_no_file(backend: LocalBackend) -> None:
    usage = backend.storage.usage()
    assert usage.used_bytes == 0
    assert usage.free_bytes is not None
    assert usage.total_bytes is not None
    assert 0 < usage.free_bytes < usage.total_bytes
    backend.storage.recount()
    assert not backend.folder.exists()


def test_a_teardown_removes_the_count(backend: LocalBackend) -> None:
    backend.inputs.put("job/1.jpg", b"x")
    assert used(backend)
    assert "leaves" not in str(backend.provisioning.plan())
    backend.provisioning.teardown()
    assert not backend.folder.exists()
