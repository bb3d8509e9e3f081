"""The lease on a lock file: death, removal, and looks that disturb nobody."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from iraas.backends.local.controller_lease import FileLease, is_locked, try_lock

HOLDER = """
import sys
from pathlib import Path
from iraas.backends.local.controller_lease import FileLease
lease = FileLease(Path(sys.argv[1]))
print(lease.hold(), flush=True)
sys.stdin.readline()
"""


def test_a_killed_holder_loses_the_lease_at_once(tmp_path: Path) -> None:
    path = tmp_path / "controller.lock"
    lease = FileLease(path)
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
def test_a_mangled_note_is_no_lease(tmp_path: Path, note: bytes) -> None:
    path = tmp_path / "controller.lock"
    holder, other = FileLease(path), FileLease(path)
    assert holder.hold()
    path.with_suffix(".json").write_bytes(note)
    assert other.holder() == "a process that did not say its name"
    holder.release()
    path.with_suffix(".json").write_bytes(b'{"pid": 1, "host": "x", "since": 0}')
    assert other.holder() == ""


def test_a_holder_whose_file_was_removed_takes_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "controller.lock"
    first, second = FileLease(path), FileLease(path)
    assert first.hold()
    path.unlink()
    assert second.hold()
    assert not first.hold()


def test_keeping_the_lease_is_cheap(tmp_path: Path) -> None:
    lease = FileLease(tmp_path / "controller.lock")
    assert lease.hold()
    before = time.process_time()
    for _ in range(1000):
        assert lease.hold()
    assert time.process_time() - before < 0.2


def test_looks_do_not_keep_a_taker_out(tmp_path: Path) -> None:
    path = tmp_path / "controller.lock"
    path.touch()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            is_locked(path)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(50):
            lease = FileLease(path)
            deadline = time.monotonic() + 5.0
            while not lease.hold():
                assert time.monotonic() < deadline
            lease.release()
    finally:
        done.set()
        for looker in lookers:
            looker.join()


def test_a_missing_file_is_not_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_link_is_not_locked_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link"):
        try_lock(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()
