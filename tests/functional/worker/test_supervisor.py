"""The supervisor over real small processes: it restarts, releases, drains and stops."""

import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from iraas.backends.memory import MemoryBackend
from iraas.core.keys import worker_key
from iraas.core.ports import OutboundMessage, QueueDepth
from iraas.core.records import FAILED, STOPPED, WorkerRecord, decode_worker
from iraas.worker.child_process import ClassifierProcess
from iraas.worker.supervisor import MAX_CRASHES_PER_MINUTE, Supervisor, SupervisorConfig
from tests.functional.worker.supervised import child
from tests.waiting import PATIENCE_S, wait_until

Steps = list[dict[str, Any]]
IDLE: Steps = [{"heartbeat": {"empty_polls": 3}}, {"wait": "polite"}]
DEAF: Steps = [{"wait": "deaf"}]
SILENT: Steps = [{"wait": "polite"}]
SPEEDUP = 30
"""The speed-up of the supervisor's clock."""


class FastClock:
    """A clock that goes faster, and stands still while the tests' children start: they take real
    time, and more of it on a busy machine.
    """

    def __init__(self) -> None:
        self._stood_s = 0.0

    def __call__(self) -> float:
        return (time.monotonic() - self._stood_s) * SPEEDUP

    @contextmanager
    def standing(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._stood_s += time.monotonic() - began


def supervise(
    backend: MemoryBackend,
    *scripts: Steps,
    config: SupervisorConfig,
    processes: int = 1,
    interrupted: Callable[[], str] = str,
) -> WorkerRecord:
    """Run a supervisor; the last script is for all processes that are started after the others."""
    left = list(scripts)
    now = FastClock()

    def start() -> ClassifierProcess:
        script = left.pop(0) if len(left) > 1 else left[0]
        with now.standing():
            process = child(script)
            if script != SILENT:  # it says something, or ends
                assert select.select([process], [], [], PATIENCE_S)[0]
        process._now = now
        process.progress_at = now()
        return process

    return Supervisor(
        backend,
        "w-1",
        processes=processes,
        start=start,
        config=config,
        interrupted=interrupted,
        now=now,
    ).run()


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture(autouse=True)
def _no_child_stays() -> Iterator[None]:
    before = set(psutil.Process().children())
    yield
    assert set(psutil.Process().children()) <= before


def leased_receipt(backend: MemoryBackend) -> str:
    """The receipt of a message under a long lease."""
    backend.requests.send([OutboundMessage("image")])
    (message,) = backend.requests.receive(1, lease_s=600.0)
    return message.receipt


def test_it_stops_when_idle_with_an_empty_queue(backend: MemoryBackend) -> None:
    record = supervise(
        backend,
        IDLE,
        IDLE,
        processes=2,
        config=SupervisorConfig(idle_timeout_s=2.0, max_lifetime_s=900.0),
    )
    assert record.state == STOPPED
    assert record.reason.startswith("idle for ")
    assert record.reason.endswith("no image is left")
    assert decode_worker(backend.records.get(worker_key("w-1"))) == record


def put_visible(backend: MemoryBackend) -> None:
    backend.requests.send([OutboundMessage("image")])


def put_delayed(backend: MemoryBackend) -> None:
    backend.requests.send([OutboundMessage("image", delay_s=600.0)])


def put_in_flight(backend: MemoryBackend) -> None:
    leased_receipt(backend)


@pytest.mark.parametrize("put", [put_visible, put_delayed, put_in_flight])
def test_it_stays_while_any_image_is_left(
    backend: MemoryBackend, put: Callable[[MemoryBackend], None]
) -> None:
    put(backend)
    record = supervise(
        backend, IDLE, config=SupervisorConfig(idle_timeout_s=0.0, max_lifetime_s=25.0)
    )
    assert record.reason == "maximum lifetime of 25 s reached"


@pytest.mark.parametrize(
    "other",
    [
        [{"heartbeat": {"empty_polls": 3, "in_flight": ["r"]}}, {"wait": "polite"}],
        [{"heartbeat": {"empty_polls": 2}}, {"wait": "polite"}],
        [{"heartbeat": {"empty_polls": 0}}, {"wait": "polite"}],
        SILENT,
    ],
    ids=["holds", "polled too little", "just received", "starts"],
)
def test_it_stays_while_a_process_is_busy(backend: MemoryBackend, other: Steps) -> None:
    record = supervise(
        backend,
        IDLE,
        other,
        processes=2,
        config=SupervisorConfig(idle_timeout_s=0.0, max_lifetime_s=25.0, stall_timeout_s=200.0),
    )
    assert record.reason == "maximum lifetime of 25 s reached"


def test_a_process_that_dies_is_replaced_and_its_messages_are_released(
    backend: MemoryBackend,
) -> None:
    receipt = leased_receipt(backend)
    dies: Steps = [
        {"heartbeat": {"in_flight": [receipt], "done": 4, "failed": 1}},
        {"kill": signal.SIGKILL},
    ]
    works: Steps = [{"heartbeat": {"empty_polls": 3, "done": 2}}, {"wait": "polite"}]
    record = supervise(
        backend, dies, works, config=SupervisorConfig(idle_timeout_s=0.0, max_lifetime_s=25.0)
    )
    assert backend.requests.depth() == QueueDepth(1, 0, 0)
    assert (record.state, record.done, record.failed) == (STOPPED, 6, 1)


def test_a_process_that_exited_in_order_is_replaced_without_a_warning(
    backend: MemoryBackend,
) -> None:
    receipt = leased_receipt(backend)
    leaves: Steps = [
        {"heartbeat": {"in_flight": [receipt], "draining": True, "done": 3}},
        {"exit": 0},
    ]
    record = supervise(
        backend, leaves, IDLE, config=SupervisorConfig(idle_timeout_s=0.0, max_lifetime_s=25.0)
    )
    assert backend.requests.depth() == QueueDepth(0, 1, 0)
    assert record.done == 3


def test_a_process_without_progress_is_killed_and_its_messages_are_released(
    backend: MemoryBackend,
) -> None:
    receipt = leased_receipt(backend)
    stalls: Steps = [{"heartbeat": {"in_flight": [receipt]}}, {"wait": "polite"}]
    record = supervise(
        backend,
        stalls,
        IDLE,
        config=SupervisorConfig(idle_timeout_s=0.0, stall_timeout_s=10.0, max_lifetime_s=40.0),
    )
    assert backend.requests.depth() == QueueDepth(1, 0, 0)
    assert record.state == STOPPED


def test_an_idle_process_is_never_stalled(backend: MemoryBackend) -> None:
    put_in_flight(backend)
    record = supervise(
        backend,
        IDLE,
        config=SupervisorConfig(idle_timeout_s=0.0, stall_timeout_s=5.0, max_lifetime_s=25.0),
    )
    assert record.reason == "maximum lifetime of 25 s reached"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([{"exit": 3}], "a process exited with status 3 while starting"),
        ([{"kill": signal.SIGSEGV}], "a process exited with status -11 while starting"),
        (SILENT, "a process exited with status -9 while starting"),
    ],
    ids=["exits", "crashes", "never comes up"],
)
def test_processes_that_never_start_make_a_failed_worker(
    backend: MemoryBackend, script: Steps, reason: str
) -> None:
    record = supervise(
        backend, script, config=SupervisorConfig(stall_timeout_s=10.0, max_lifetime_s=900.0)
    )
    assert (record.state, record.reason) == (FAILED, reason)
    assert decode_worker(backend.records.get(worker_key("w-1"))).state == FAILED


def test_a_start_that_fails_once_is_tried_again(backend: MemoryBackend) -> None:
    record = supervise(
        backend,
        [{"exit": 3}],
        IDLE,
        config=SupervisorConfig(idle_timeout_s=0.0, max_lifetime_s=600.0),
    )
    assert record.state == STOPPED


def test_a_reported_startup_error_fails_the_worker_at_once(
    backend: MemoryBackend,
) -> None:
    says: Steps = [{"heartbeat": {"model": "", "error": "the bundle is corrupt"}}, {"exit": 70}]
    record = supervise(backend, says, config=SupervisorConfig(max_lifetime_s=900.0))
    assert (record.state, record.reason) == (FAILED, "the bundle is corrupt")


def test_too_many_crashes_in_a_minute_make_a_failed_worker(backend: MemoryBackend) -> None:
    dies: Steps = [{"heartbeat": {"done": 1}}, {"kill": signal.SIGKILL}]
    record = supervise(backend, dies, processes=4, config=SupervisorConfig(max_lifetime_s=900.0))
    assert record.state == FAILED
    assert record.reason == f"{MAX_CRASHES_PER_MINUTE} classifier processes crashed within a minute"
    assert record.done >= MAX_CRASHES_PER_MINUTE


def test_the_worker_drains_before_its_machine_is_reclaimed(backend: MemoryBackend) -> None:
    put_visible(backend)
    record = supervise(
        backend,
        IDLE,
        config=SupervisorConfig(max_lifetime_s=900.0),
        interrupted=lambda: "the spot instance is taken back in two minutes",
    )
    assert (record.state, record.reason) == (
        STOPPED,
        "the spot instance is taken back in two minutes",
    )


def test_a_process_that_ignores_sigterm_is_killed_after_the_shutdown_timeout(
    backend: MemoryBackend,
) -> None:
    record = supervise(
        backend,
        DEAF,
        config=SupervisorConfig(idle_timeout_s=0.0, shutdown_timeout_s=5.0, max_lifetime_s=600.0),
    )
    assert record.state == STOPPED


def test_garbage_on_the_pipe_is_skipped(backend: MemoryBackend) -> None:
    garbage = [
        "hello\n",
        "{}\n",
        "\n\n\n",
        "[" * 50_000 + "\n",
        "x" * 3_000_000 + "\n",
        "\x00\n",
        "{\n",
    ]
    script: Steps = [*({"say": one} for one in garbage), *IDLE]
    record = supervise(
        backend, script, config=SupervisorConfig(idle_timeout_s=0.0, max_lifetime_s=900.0)
    )
    assert (record.state, record.model) == (STOPPED, "scripted@00000000")


def test_a_heartbeat_may_arrive_in_pieces(backend: MemoryBackend) -> None:
    line = json.dumps({"model": "m", "in_flight": [], "empty_polls": 3})
    script: Steps = [{"say": line[:20]}, {"say": line[20:]}, {"say": "\n"}, {"wait": "polite"}]
    record = supervise(
        backend, script, config=SupervisorConfig(idle_timeout_s=0.0, max_lifetime_s=900.0)
    )
    assert record.model == "m"


class WatchedBackend(MemoryBackend):
    """A backend that keeps all of a worker's records."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[WorkerRecord] = []
        put = self.records.put

        def recording(key: str, data: bytes) -> None:
            self.written.append(decode_worker(data))
            put(key, data)

        self.records.put = recording  # type: ignore[method-assign]


def test_the_records_show_each_state_of_a_worker() -> None:
    backend = WatchedBackend()
    script: Steps = [{"heartbeat": {"empty_polls": 3, "done": 5, "failed": 2}}, {"wait": "polite"}]
    supervise(backend, script, config=SupervisorConfig(idle_timeout_s=20.0, max_lifetime_s=600.0))
    states = [one.state for one in backend.written]
    assert states[0] == "starting"
    assert states[-3:] == ["running", "draining", STOPPED]
    running = next(one for one in backend.written if one.state == "running")
    assert (running.model, running.done, running.failed) == ("scripted@00000000", 5, 2)
    assert running.images_per_s > 0
    assert all(one.started_at == backend.written[0].started_at for one in backend.written)


def started(steps: Steps, shutdown_timeout_s: float) -> subprocess.Popen[str]:
    program = str(Path(__file__).with_name("supervised.py"))
    process = subprocess.Popen(
        [sys.executable, program, json.dumps(steps), str(shutdown_timeout_s)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    wait_until(lambda: psutil.Process(process.pid).children(), "a child")
    return process


def finished(process: subprocess.Popen[str], numbers: Sequence[signal.Signals]) -> WorkerRecord:
    for number in numbers:
        process.send_signal(number)
    stdout, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    return decode_worker(stdout.splitlines()[-1].encode())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(number: signal.Signals) -> None:
    process = started(IDLE, shutdown_timeout_s=20.0)
    record = finished(process, [number])
    assert (record.state, record.reason) == (STOPPED, "stopped by a signal")


def test_a_second_signal_does_not_wait_for_the_shutdown_timeout() -> None:
    process = started(DEAF, shutdown_timeout_s=1000.0)
    (deaf,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    record = finished(process, [signal.SIGTERM])
    assert record.state == STOPPED
    assert not deaf.is_running()


def test_when_the_supervisor_is_killed_its_processes_exit() -> None:
    process = started(IDLE, shutdown_timeout_s=1.0)
    (orphan,) = psutil.Process(process.pid).children()
    process.kill()
    process.communicate()
    wait_until(lambda: not orphan.is_running(), "the orphan's end")
