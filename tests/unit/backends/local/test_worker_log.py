"""A worker's log is bounded, whatever its processes write, and keeps their last output."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from iraas.backends.local.durable_files import write_atomic
from iraas.backends.local.worker_log import (
    KEPT_BYTES,
    MAX_LOG_BYTES,
    bounded_log,
    rotate,
    rotated_path,
)
from tests.waiting import wait_until

BABBLER = """
import os
line = b"TIFFFillStrip: Read error on strip\\n" * 1000
for _ in range(1800):
    os.write(2, line)
"""
CRASH = """
import os, signal, sys
os.write(2, b"last words\\n")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "w-00000001.log"


def run(script: str, log: Path) -> int:
    with log.open("ab") as file:
        command = [sys.executable, "-S", "-E", "-c", script]
        return subprocess.run(command, stderr=file, check=False, timeout=60).returncode


def all_of(log: Path) -> bytes:
    older = rotated_path(log).read_bytes() if rotated_path(log).exists() else b""
    return older + log.read_bytes()


def test_sixty_megabytes_of_a_decoders_warnings_leave_a_short_log_with_its_end(log: Path) -> None:
    with bounded_log(log, interval_s=0.01):
        assert run(BABBLER, log) == 0
        wait_until(lambda: log.stat().st_size <= MAX_LOG_BYTES, "the log to be rotated")
        assert run(CRASH, log) == -signal.SIGKILL
    assert len(all_of(log)) <= MAX_LOG_BYTES + 2 * KEPT_BYTES
    assert all_of(log).endswith(b"last words\n")


def test_what_is_written_while_the_end_is_stored_is_kept(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_bytes(b"x" * 20)

    def slowly(path: Path, content: bytes) -> None:
        write_atomic(path, content)
        with log.open("ab") as file:
            file.write(b"meanwhile\n")

    monkeypatch.setattr("iraas.backends.local.worker_log.write_atomic", slowly)
    assert rotate(log, max_bytes=10, kept_bytes=15)
    assert all_of(log) == b"x" * 15 + b"meanwhile\n"


def test_a_log_is_shortened_while_it_is_written(log: Path) -> None:
    with log.open("ab", buffering=0) as file, bounded_log(log, interval_s=0.01):
        for _ in range(3):
            file.write(b"a line\n" * 200_000)
            wait_until(lambda: log.stat().st_size <= MAX_LOG_BYTES, "the log to be rotated")
        file.write(b"the next line\n")
    assert log.read_bytes() == b"the next line\n"  # and no hole before it


def test_the_last_output_of_a_killed_process_is_kept(log: Path) -> None:
    with bounded_log(log):
        assert run(CRASH, log) == -signal.SIGKILL
        assert log.read_bytes() == b"last words\n"


def test_a_log_within_its_bound_is_left_alone(log: Path) -> None:
    assert not rotate(log)
    log.write_bytes(b"x" * MAX_LOG_BYTES)
    assert not rotate(log)
    assert not rotated_path(log).exists()


def test_whole_lines_are_kept_or_one_that_has_no_end(log: Path) -> None:
    log.write_bytes(b"first\nsecond\nthird\n")
    assert rotate(log, max_bytes=10, kept_bytes=9)
    assert (rotated_path(log).read_bytes(), log.read_bytes()) == (b"third\n", b"")
    log.write_bytes(b"x" * 20)
    assert rotate(log, max_bytes=10, kept_bytes=9)
    assert rotated_path(log).read_bytes() == b"x" * 9


def test_a_log_that_cannot_be_kept_is_not_emptied(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_bytes(b"x" * 20)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("iraas.backends.local.worker_log.write_atomic", full)
    with pytest.raises(OSError, match="space"):
        rotate(log, max_bytes=10, kept_bytes=9)
    assert log.read_bytes() == b"x" * 20


def test_a_log_that_is_a_link_is_not_followed(log: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"x" * 20)
    log.symlink_to(precious)
    with pytest.raises(OSError, match="symbolic"):
        rotate(log, max_bytes=10, kept_bytes=9)
    assert precious.read_bytes() == b"x" * 20


def test_without_a_log_there_is_nothing_to_bound() -> None:
    before = threading.active_count()
    with bounded_log(None):
        assert threading.active_count() == before


def test_the_watch_ends_with_its_block(log: Path) -> None:
    before = threading.active_count()
    with bounded_log(log):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    assert not os.path.lexists(rotated_path(log))
