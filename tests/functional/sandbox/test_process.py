"""A confined process seen from its parent: real processes that crash, flood, hang and lie."""

import logging
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from iraas.errors import ProcessDiedError
from iraas.sandbox.limits import MAX_WRITTEN_BYTES
from iraas.sandbox.process import ended_by_cpu_budget
from tests.functional.sandbox import children
from tests.functional.sandbox.children import start
from tests.waiting import wait_until

HANG_S = 120.0


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    before = children.open_descriptors()
    processes = set(psutil.Process().children())
    yield
    assert set(psutil.Process().children()) <= processes
    assert children.open_descriptors() <= before


@pytest.mark.parametrize("size", [0, 1, 65_536, 5_000_000])
def test_each_frame_is_answered(size: int) -> None:
    with closing(start("for request in requests: answer(b'%d' % len(request))")) as process:
        assert process.ask(bytes(size)) == b"%d" % size
        assert process.ask(b"again") == b"5"


def test_a_flood_of_warnings_fills_neither_the_pipe_nor_the_disk() -> None:
    with closing(start(children.FLOOD)) as process:
        assert process.ask(b"", timeout_s=HANG_S) == b"done"
        assert process.ask(b"", timeout_s=HANG_S) == b"done"
        process._stderr.flush()
        assert Path(f"/proc/self/fd/{process._stderr.fileno()}").stat().st_size <= MAX_WRITTEN_BYTES


def test_a_child_that_exceeds_its_cpu_time_is_ended_with_that_reason() -> None:
    with closing(start(children.BUSY)) as process, pytest.raises(ProcessDiedError) as caught:
        process.ask(b"", timeout_s=HANG_S)
    assert caught.value.status == -signal.SIGPROF
    assert ended_by_cpu_budget(caught.value)


def test_a_crash_is_logged_with_its_last_output_escaped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with closing(start(children.CRASH)) as process, pytest.raises(ProcessDiedError) as caught:
        process.ask(b"")
    assert caught.value.status == -signal.SIGSEGV
    assert not ended_by_cpu_budget(caught.value)
    (record,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert "about to crash" in record.getMessage()
    assert "\x1b" not in record.getMessage()


def test_a_child_that_answers_with_garbage_is_ended() -> None:
    with closing(start(children.GARBAGE)) as process:
        with pytest.raises(ProcessDiedError):
            process.ask(b"")
        assert not psutil.pid_exists(process.pid)


def test_a_child_that_never_answers_is_killed_in_time() -> None:
    with closing(start(children.DEAF)) as process, pytest.raises(ProcessDiedError) as caught:
        process.ask(b"", timeout_s=0.2)
    assert caught.value.status == -signal.SIGKILL


def test_a_child_that_reads_nothing_is_killed_in_time() -> None:
    with closing(start(children.DEAF)) as process, pytest.raises(ProcessDiedError):
        process.ask(bytes(5_000_000), timeout_s=0.2)


def test_an_allocation_beyond_the_limit_fails_and_the_child_goes_on() -> None:
    with closing(start(children.GREEDY)) as process:
        assert process.ask(b"20000000") == b"20000000"
        assert process.ask(b"100000000") == b"refused"
        assert process.ask(b"20000000") == b"20000000"


def test_a_child_exits_when_its_parent_is_killed() -> None:
    program = textwrap.dedent("""
        import sys
        from iraas.sandbox.process import ConfinedProcess
        deaf = "from iraas.sandbox.limits import end_with_parent; end_with_parent()\\n"
        deaf += "import os, threading\\nos.write(1, bytes([0, 0, 0, 1, 33]))\\n"
        deaf += "threading.Event().wait()"
        child = ConfinedProcess([sys.executable, "-P", "-c", deaf], {})
        assert child.ask(b"") == b"!"
        print(child.pid, flush=True)
        sys.stdin.read()
    """)
    command = [sys.executable, "-P", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        wait_until(lambda: not child.is_running(), "the child's end")


def test_a_process_that_cannot_be_started_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError):
        start(children.ECHO)
    assert list(tmp_path.iterdir()) == []
