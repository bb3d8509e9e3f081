"""The adapters that the contract suite holds to `iraas.core.ports`.

Every test of this folder runs once per adapter. To add an adapter:

1. Write a fixture ``<name>_rig`` that yields a `Rig`: a `Backend` of a fresh, provisioned
   deployment with `CAPACITY` slots and `MAX_RECEIVES`, the same deployment opened once more (as
   another process would), and the two things that a test cannot do through a port: let time pass,
   and let an instance end by itself. Clean up after the yield.
2. Put ``<name>`` into `ADAPTERS`.
3. Where what stands behind the adapter in the tests (an emulator, say) breaks a promise that the
   real thing keeps, name the promise in `Rig.gaps` with the reason. Tests that need it ask for it
   with the fixture `promised` and are skipped with that reason. The names in use are
   ``stale receipts``, ``fair groups``, ``exact depth``, ``dead letters``, ``one launch wins``.

Tests use ports only, so that none knows which adapter it has. Where the answer of a distributed
system may lag they ask `eventually`.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from iraas.backends.aws.session import AwsSession
from iraas.backends.local.backend import LocalBackend
from iraas.backends.memory import MemoryBackend
from iraas.core.ports import (
    Backend,
    ControllerLease,
    Fleet,
    ObjectStore,
    Provisioning,
    Queue,
    ResponseQueues,
)
from tests.contract import aws_rig
from tests.fakes.clock import Clock
from tests.functional.aws.deployments import (
    ENVIRONMENT,
    fresh_deployment,
    fresh_session,
    sdk_data_read_once,
)
from tests.waiting import wait_until

ADAPTERS = ["memory", "local", "aws"]
CAPACITY = 3
MAX_RECEIVES = 3
IDLE_WORKER = [sys.executable, "-S", "-E", "-c", "import signal; signal.pause()"]


@dataclass(frozen=True)
class Rig:
    """A deployment under test."""

    backend: Backend
    rival: Backend
    pass_time: Callable[[float], None]
    lose_instance: Callable[[str], None]
    gaps: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture(params=ADAPTERS)
def rig(request: pytest.FixtureRequest) -> Rig:
    """Each adapter's deployment in turn."""
    if request.param == "aws" and aws_rig.NOT_HERE & set(request.fixturenames):
        pytest.skip("provisioning on aws has tests of its own")
    found = request.getfixturevalue(f"{request.param}_rig")
    assert isinstance(found, Rig)
    return found


@pytest.fixture
def memory_rig() -> Rig:
    clock = Clock()
    backend = MemoryBackend(capacity=CAPACITY, max_receives=MAX_RECEIVES, clock=clock)

    def lose(instance_id: str) -> None:
        assert backend.fleet.end(instance_id)

    return Rig(backend, backend.rival(), clock.advance, lose)


@pytest.fixture
def local_rig(tmp_path: Path) -> Iterator[Rig]:
    clock = Clock()

    def opened() -> LocalBackend:
        return LocalBackend(
            tmp_path,
            "contract",
            capacity=CAPACITY,
            worker_command=IDLE_WORKER,
            max_receives=MAX_RECEIVES,
            clock=clock,
        )

    backend, rival = opened(), opened()
    yield Rig(backend, rival, clock.advance, _kill_worker)
    rival.lease.release()
    backend.provisioning.teardown()
    backend.close()
    rival.close()


@pytest.fixture(scope="session")
def aws_sessions(aws_endpoint: str) -> Iterator[tuple[AwsSession, AwsSession]]:
    """Two ways to the emulator, for all tests: making clients takes longer than most of them."""
    with (
        sdk_data_read_once(),
        pytest.MonkeyPatch.context() as patch,
        fresh_session(aws_endpoint) as session,
        fresh_session(aws_endpoint) as other,
    ):
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        for one in (session, other):
            one.account()  # makes the first client, which reads the credentials
        yield session, other


@pytest.fixture(name="aws_rig")
def _aws_rig(
    aws_sessions: tuple[AwsSession, AwsSession], pass_emulated_time: Callable[[float], None]
) -> Rig:
    clock = Clock()

    def pass_time(seconds: float) -> None:
        clock.advance(seconds)
        pass_emulated_time(seconds)

    session, other = aws_sessions
    deployment = fresh_deployment(session)
    ec2 = aws_rig.fake_ec2(clock)
    backend = aws_rig.aws_backend(deployment, clock, pass_time, ec2)
    rival = aws_rig.aws_backend(deployment.seen_through(other), clock, pass_time, ec2)
    return Rig(backend, rival, pass_time, ec2.end, aws_rig.gaps())


def _kill_worker(instance_id: str) -> None:
    for process in psutil.process_iter():
        try:
            if instance_id in process.cmdline():
                process.kill()
        except psutil.Error:
            continue


@pytest.fixture
def queue(rig: Rig) -> Queue:
    return rig.backend.requests


@pytest.fixture
def dead_letters(rig: Rig) -> Queue:
    return rig.backend.dead_letters


@pytest.fixture
def responses(rig: Rig) -> ResponseQueues:
    return rig.backend.responses


@pytest.fixture
def store(rig: Rig) -> ObjectStore:
    return rig.backend.outputs


@pytest.fixture
def fleet(rig: Rig) -> Fleet:
    return rig.backend.fleet


@pytest.fixture
def lease(rig: Rig) -> ControllerLease:
    return rig.backend.lease


@pytest.fixture
def provisioning(rig: Rig) -> Provisioning:
    return rig.backend.provisioning


@pytest.fixture
def backend(rig: Rig) -> Backend:
    return rig.backend


@pytest.fixture
def rival(rig: Rig) -> Backend:
    """The same deployment, opened as another process would."""
    return rig.rival


@pytest.fixture
def pass_time(rig: Rig) -> Callable[[float], None]:
    return rig.pass_time


@pytest.fixture
def lose_instance(rig: Rig) -> Callable[[str], None]:
    """End an instance from within, as when its worker exits or its machine fails."""
    return rig.lose_instance


@pytest.fixture
def promised(rig: Rig) -> Callable[[str], None]:
    """Skip the test if the service behind the adapter breaks that part of the contract."""

    def check(promise: str) -> None:
        if promise in rig.gaps:
            pytest.skip(rig.gaps[promise])

    return check


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until a condition is true."""
    return wait_until
