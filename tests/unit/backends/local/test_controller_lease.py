"""The lease on a lock file: killed holders, removed files, and checks that do not interfere."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from iraas.backends.local.controller_lease import FileLease, is_locked, try_lock
from tests.effects import recorded
from tests.waiting import wait_until

MakeLease = Callable[[Path], FileLease]
HOLDER = """
import sys
from pathlib import Path
from iraas.backends.local.controller_lease import FileLease
lease = FileLease(Path(sys.argv[1]))
print(lease.hold(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def made() -> Iterator[MakeLease]:
    """Makes leases, which are released at the end."""
    with ExitStack() as stack:

        def make(path: Path) -> FileLease:
            lease = FileLease(path)
            stack.callback(lease.release)
            return lease

        yield make


def test_a_killed_holder_loses_the_lease_at_once(tmp_path: Path, made: MakeLease) -> None:
    path = tmp_path / "controller.lock"
    lease = made(path)
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not lease.hold()
        assert lease.holder().startswith(f"process {holder.pid} on ")
        holder.kill()
    assert lease.holder() == ""
    assert lease.hold()


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"pid": "x"}'])
def test_a_corrupt_holder_file_is_no_lease(tmp_path: Path, made: MakeLease, note: bytes) -> None:
    path = tmp_path / "controller.lock"
    holder, other = made(path), made(path)
    assert holder.hold()
    path.with_suffix(".json").write_bytes(note)
    assert other.holder() == "an unknown process"
    holder.release()
    path.with_suffix(".json").write_bytes(b'{"pid": 1, "host": "x", "since": 0}')
    assert other.holder() == ""


def test_a_holder_whose_file_was_removed_takes_the_new_one(tmp_path: Path, made: MakeLease) -> None:
    path = tmp_path / "controller.lock"
    first, second = made(path), made(path)
    assert first.hold()
    path.unlink()
    assert second.hold()
    assert not first.hold()


def test_keeping_the_lease_opens_and_writes_no_file(tmp_path: Path, made: MakeLease) -> None:
    lease = made(tmp_path / "controller.lock")
    with recorded("open") as opened:
        assert lease.hold()
        assert opened
        opened.clear()
        assert lease.hold()
    assert opened == []


def test_reading_the_holder_does_not_block_an_acquire(tmp_path: Path) -> None:
    path = tmp_path / "controller.lock"
    path.touch()
    done = threading.Event()

    def check() -> None:
        while not done.is_set():
            is_locked(path)

    checkers = [threading.Thread(target=check) for _ in range(2)]
    for looker in checkers:
        looker.start()
    try:
        for _ in range(50):
            lease = FileLease(path)
            wait_until(lease.hold, "the lease")
            lease.release()
    finally:
        done.set()
        for looker in checkers:
            looker.join()


def test_a_missing_file_is_not_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_link_is_not_locked_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link"):
        try_lock(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()
