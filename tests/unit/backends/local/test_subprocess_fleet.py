"""The subprocess fleet with real processes: slots, kills, orphans, stopped and stubborn workers."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from iraas.backends.local.instance_processes import processes_of
from iraas.backends.local.subprocess_fleet import SLOT_DESCRIPTOR, SubprocessFleet
from iraas.backends.local.worker_log import rotated_path
from iraas.core.ports import InstanceState
from iraas.errors import BackendError
from iraas.sandbox.environment import INSTANCE_ENV_VAR
from tests.effects import recorded
from tests.waiting import PATIENCE_S, wait_until

PYTHON = [sys.executable, "-S", "-E", "-c"]
IDLE = "import signal; signal.pause()"
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(1, flush=True)
while True: signal.pause()
"""
POLITE = """
import os, signal, sys
def leave(*_):
    open(os.environ["FAREWELL"], "w").write("left")
    sys.exit()
signal.signal(signal.SIGTERM, leave)
print(1, flush=True)
while True: signal.pause()
"""
PARENT = f"""
import os, subprocess, sys
slot = int(os.environ["{SLOT_DESCRIPTOR}"])
child = subprocess.Popen([sys.executable, "-S", "-c", {IDLE!r}], pass_fds=[slot],
    start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""
LAUNCHER = """
import sys, time
from pathlib import Path
from iraas.backends.local.subprocess_fleet import SubprocessFleet
fleet = SubprocessFleet(Path(sys.argv[1]), capacity=int(sys.argv[2]),
    command=[sys.executable, "-S", "-E", "-c", "import signal; signal.pause()"])
print("ready", flush=True)
sys.stdin.readline()
print(*fleet.launch(int(sys.argv[2])).launched, flush=True)
sys.stdin.readline()
"""

Starter = Callable[..., SubprocessFleet]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Makes fleets in one folder, and ends what they launched."""
    fleets: list[SubprocessFleet] = []

    def make(script: str = IDLE, capacity: int = 3, **more: object) -> SubprocessFleet:
        fleet = SubprocessFleet(
            tmp_path / "fleet",
            capacity=capacity,
            command=[*PYTHON, script],
            **more,  # type: ignore[arg-type]
        )
        fleets.append(fleet)
        return fleet

    yield make
    for fleet in fleets:
        wait_until(partial(ended, fleet))
        fleet.close()


def ended(fleet: SubprocessFleet) -> bool:
    """Kill all workers of a fleet; a later scan finds those just being started."""
    there = fleet.instances()
    for process in processes_of({one.instance_id for one in there}):
        with suppress(psutil.Error):
            process.kill()
    return not there


def worker_of(instance_id: str) -> psutil.Process:
    """The worker process of an instance, once it runs its program."""
    found: list[psutil.Process] = []

    def is_finished() -> bool:
        found[:] = [one for one in processes_of({instance_id}) if instance_id in one.cmdline()]
        return bool(found)

    wait_until(is_finished)
    return found[0]


def log_of(tmp_path: Path, instance_id: str) -> Path:
    return tmp_path / "fleet" / "logs" / f"{instance_id}.log"


def said(tmp_path: Path, instance_id: str) -> str:
    """The first line of a worker's output, once there is one."""
    path = log_of(tmp_path, instance_id)
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
    return path.read_text()


def ids(fleet: SubprocessFleet) -> set[str]:
    return {one.instance_id for one in fleet.instances()}


def test_a_worker_gets_its_id_and_runs_in_its_own_session(start: Starter, tmp_path: Path) -> None:
    fleet = start(
        "import os, sys; print(sys.argv[1:], os.getsid(0) == os.getpid(), flush=True)\n" + IDLE
    )
    (instance_id,) = fleet.launch(1).launched
    assert said(tmp_path, instance_id) == f"['--worker-id', '{instance_id}'] True\n"


def test_a_worker_inherits_its_slot_and_no_other_file(start: Starter, tmp_path: Path) -> None:
    script = (
        "import os\n"
        "links = {n: os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')"
        " if os.path.exists(f'/proc/self/fd/{n}')}\n"
        f"print(links.pop(os.environ['{SLOT_DESCRIPTOR}']), sorted(links), flush=True)\n" + IDLE
    )
    with (tmp_path / "open").open("w") as other:
        os.set_inheritable(other.fileno(), True)  # noqa: FBT003 - its signature
        (instance_id,) = start(script).launch(1).launched
        slot = tmp_path / "fleet" / "slot-01.lock"
        assert said(tmp_path, instance_id) == f"{slot} ['0', '1', '2']\n"


def test_a_worker_gets_the_environment_it_was_given(start: Starter, tmp_path: Path) -> None:
    script = (
        "import os\n"
        f"found = os.environ['A'], os.environ['{INSTANCE_ENV_VAR}'], 'HOME' in os.environ\n"
        "print(*found, flush=True)\n"
    )
    (instance_id,) = start(script + IDLE, environment={"A": "1"}).launch(1).launched
    assert said(tmp_path, instance_id) == f"1 {instance_id} False\n"


def test_a_worker_that_leaves_frees_its_slot_and_leaves_no_zombie(start: Starter) -> None:
    fleet = start("pass", capacity=1)
    for _ in range(3):
        assert len(fleet.launch(1).launched) == 1
        wait_until(lambda: fleet.instances() == [])
    wait_until(
        lambda: (
            fleet.instances() == []
            and all(one.status() != psutil.STATUS_ZOMBIE for one in psutil.Process().children())
        )
    )


def test_the_slot_of_a_killed_worker_is_free_at_once(start: Starter) -> None:
    fleet = start(capacity=2)
    first, second = fleet.launch(2).launched
    worker = worker_of(first)
    worker.kill()
    psutil.wait_procs([worker], timeout=PATIENCE_S)
    assert ids(fleet) == {second}
    assert len(fleet.launch(1).launched) == 1


def test_a_child_that_was_passed_the_slot_keeps_it(start: Starter, tmp_path: Path) -> None:
    fleet = start(PARENT, capacity=1)
    (instance_id,) = fleet.launch(1).launched
    child = psutil.Process(int(said(tmp_path, instance_id)))
    worker = worker_of(instance_id)
    worker.kill()
    psutil.wait_procs([worker], timeout=PATIENCE_S)
    assert ids(fleet) == {instance_id}
    assert fleet.launch(1).launched == ()
    fleet.terminate([instance_id])
    assert fleet.instances() == []
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_worker_may_exit_on_sigterm(start: Starter, tmp_path: Path) -> None:
    environment = {**os.environ, "FAREWELL": str(tmp_path / "farewell")}
    fleet = start(POLITE, environment=environment, shutdown_timeout_s=20.0)
    (instance_id,) = fleet.launch(1).launched
    said(tmp_path, instance_id)
    fleet.terminate([instance_id])
    assert (tmp_path / "farewell").read_text() == "left"
    assert fleet.instances() == []


def test_a_worker_that_ignores_sigterm_is_killed_after_the_grace_period(
    start: Starter, tmp_path: Path
) -> None:
    fleet = start(STUBBORN, shutdown_timeout_s=0.3)
    (instance_id,) = fleet.launch(1).launched
    said(tmp_path, instance_id)
    with recorded("os.kill") as sent:
        fleet.terminate([instance_id])
    numbers = [number for _, number in sent if number]
    assert numbers[0] == signal.SIGTERM
    assert numbers[-1] == signal.SIGKILL
    assert fleet.instances() == []


@pytest.mark.parametrize("script", [IDLE, POLITE, STUBBORN])
def test_a_stopped_worker_is_ended(start: Starter, tmp_path: Path, script: str) -> None:
    environment = {**os.environ, "FAREWELL": str(tmp_path / "farewell")}
    fleet = start(script, environment=environment, shutdown_timeout_s=0.5)
    (instance_id,) = fleet.launch(1).launched
    worker = worker_of(instance_id)
    worker.suspend()
    wait_until(lambda: worker.status() == psutil.STATUS_STOPPED)
    fleet.terminate([instance_id])
    assert fleet.instances() == []


def test_an_instance_is_stopping_while_it_is_asked_to_leave(start: Starter, tmp_path: Path) -> None:
    fleet = start(STUBBORN, shutdown_timeout_s=0.0)
    (instance_id,) = fleet.launch(1).launched
    fleet._stopping.add(instance_id)
    assert [one.state for one in fleet.instances()] == [InstanceState.STOPPING]
    fleet.terminate([instance_id])
    assert fleet.instances() == []
    assert fleet._stopping == set()


def test_a_process_of_another_instance_is_left_alone(start: Starter) -> None:
    fleet = start()
    first, second = fleet.launch(2).launched
    fleet.terminate([first])
    assert ids(fleet) == {second}
    assert worker_of(second).is_running()


def test_two_launchers_at_the_same_moment_never_exceed_the_capacity(
    start: Starter, tmp_path: Path
) -> None:
    fleet = start(capacity=4)
    command = [sys.executable, "-c", LAUNCHER, str(tmp_path / "fleet"), "4"]
    for _ in range(3):
        launchers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        for launcher in launchers:
            assert launcher.stdout is not None
            assert launcher.stdout.readline() == "ready\n"
        for launcher in launchers:
            assert launcher.stdin is not None
            launcher.stdin.write("go\n")
            launcher.stdin.flush()
        launched = [
            one for launcher in launchers for one in launcher.communicate("end\n")[0].split()
        ]
        assert len(launched) == 4
        assert ids(fleet) == set(launched)
        fleet.terminate(launched)
        assert fleet.instances() == []


def test_a_killed_launcher_leaves_its_workers_alone_and_tracked(
    start: Starter, tmp_path: Path
) -> None:
    fleet = start(capacity=3)
    command = [sys.executable, "-c", LAUNCHER, str(tmp_path / "fleet"), "2"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdin is not None
        assert launcher.stdout.readline() == "ready\n"
        launcher.stdin.write("go\n")
        launcher.stdin.flush()
        launched = launcher.stdout.readline().split()
        launcher.send_signal(signal.SIGKILL)
    assert len(launched) == 2
    assert ids(fleet) == set(launched)
    assert all(worker_of(one).is_running() for one in launched)
    assert len(fleet.launch(3).launched) == 1
    fleet.terminate(launched)
    assert len(fleet.instances()) == 1


def test_a_launcher_killed_while_it_launches_loses_no_slot_and_no_worker(
    start: Starter, tmp_path: Path
) -> None:
    fleet = start(capacity=6, shutdown_timeout_s=0.5)
    command = [sys.executable, "-c", LAUNCHER, str(tmp_path / "fleet"), "6"]
    chance = random.Random(3)
    for _ in range(4):
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as launcher:
            assert launcher.stdout is not None
            assert launcher.stdin is not None
            assert launcher.stdout.readline() == "ready\n"
            launcher.stdin.write("go\n")
            launcher.stdin.flush()
            with pytest.raises(subprocess.TimeoutExpired):
                launcher.wait(timeout=chance.uniform(0.0, 0.012))
            launcher.send_signal(signal.SIGKILL)
        there = ids(fleet)
        for instance_id in there:
            worker_of(instance_id)
        launched = fleet.launch(6).launched
        assert len(launched) == 6 - len(there)
        assert ids(fleet) == there | set(launched)
        fleet.terminate(list(there | set(launched)))
        assert fleet.instances() == []


def test_a_corrupt_instance_file_hides_no_taken_slot(start: Starter, tmp_path: Path) -> None:
    fleet = start(capacity=1)
    (instance_id,) = fleet.launch(1).launched
    note = tmp_path / "fleet" / "slot-01.json"
    good = note.read_bytes()
    for bad in (b"", b"{", b"[]", b"{}", json.dumps({"instance_id": "../x"}).encode()):
        note.write_bytes(bad)
        assert fleet.instances() == []
        assert fleet.launch(1).launched == ()
    note.write_bytes(good)
    assert ids(fleet) == {instance_id}


def test_a_command_that_cannot_start_is_reported(tmp_path: Path) -> None:
    fleet = SubprocessFleet(tmp_path / "fleet", capacity=2, command=["/nowhere/iraas"])
    with pytest.raises(BackendError, match="/nowhere/iraas"):
        fleet.launch(1)
    assert fleet.instances() == []


def test_old_logs_are_swept_and_those_of_living_workers_kept(
    start: Starter, tmp_path: Path
) -> None:
    fleet = start(capacity=2)
    (first,) = fleet.launch(1).launched
    os.utime(log_of(tmp_path, first), (0, 0))
    for n in range(80):
        old = log_of(tmp_path, f"w-old{n:05d}")
        old.write_text("old")
        os.utime(old, (1000 + n, 1000 + n))
    (second,) = fleet.launch(1).launched
    left = {path.name for path in (tmp_path / "fleet" / "logs").iterdir()}
    assert {f"{first}.log", f"{second}.log"} <= left
    assert left - {f"{first}.log", f"{second}.log"} == {f"w-old{n:05d}.log" for n in range(30, 80)}


def test_the_logs_of_all_workers_together_are_bounded(start: Starter, tmp_path: Path) -> None:
    """Also those of workers that were killed before they could rotate their own."""
    fleet = start(capacity=2)
    fleet.launch(1)
    for n in range(45):
        old = log_of(tmp_path, f"w-old{n:05d}")
        old.write_bytes(b"a line\n" * 300_000 + b"last words\n" if n % 2 else b"a line\n" * 100_000)
        os.utime(old, (1000 + n, 1000 + n))
    fleet.launch(1)
    logs = list((tmp_path / "fleet" / "logs").iterdir())
    assert sum(path.stat().st_size for path in logs) <= 20_000_000
    assert rotated_path(log_of(tmp_path, "w-old00043")).read_bytes().endswith(b"last words\n")
    assert not log_of(tmp_path, "w-old00000").exists()
    assert not rotated_path(log_of(tmp_path, "w-old00001")).exists()


def test_drafts_of_killed_launchers_are_swept(start: Starter, tmp_path: Path) -> None:
    fleet = start(capacity=2)
    fleet.launch(1)
    old, young = (tmp_path / "fleet" / f".slot-01.json.{n}.0123abcd" for n in (1, 2))
    mine = tmp_path / "fleet" / ".mine"
    for path in (old, young, mine):
        path.write_text("{")
    for path in (old, mine):
        os.utime(path, (1000, 1000))
    fleet.launch(1)
    assert [path.exists() for path in (old, young, mine)] == [False, True, True]


def test_listing_the_fleet_opens_only_its_slots(
    start: Starter,
) -> None:
    fleet = start(capacity=19)
    fleet.launch(2)
    with recorded("open") as opened:
        fleet.instances()
    assert {Path(path).parent for path, *_ in opened} == {fleet.root}
    assert len(opened) <= 2 * 19


def test_closing_leaves_the_workers_running(start: Starter) -> None:
    first, second = start(), start()
    launched = first.launch(2).launched
    first.close()
    first.close()
    assert ids(second) == set(launched)
