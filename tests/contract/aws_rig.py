"""The aws queues, stores, response queues, lease and fleet, for the contract suite.

The endpoint is the moto server of the test process or, if set, ``IRAAS_TEST_AWS_ENDPOINT``.
The fleet has its ledger there, and its instances on `FakeEc2`: moto honours no client token.
Provisioning has no adapter here: its own tests hold it to its port.
"""

import os
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

from iraas.backends.aws.fleet.ec2_fleet import Ec2Fleet
from iraas.backends.aws.fleet.fake_ec2 import Ec2Faults, FakeEc2
from iraas.backends.aws.fleet.launch_candidates import LaunchCandidates, launch_candidates
from iraas.backends.aws.fleet.launch_ledger import LaunchLedger
from iraas.backends.aws.queues.response_queues import SqsResponseQueues
from iraas.core.ports import Backend, UncountedStorage
from tests.conftest import ENDPOINT_VARIABLE
from tests.functional.aws.deployments import QUICK, Deployment

FAIRNESS = "emulators serve in the order of sending, and moto is slow past a hundred messages"
STALENESS = "moto lets a stale receipt delete"
LAUNCHES = "a launcher that loses a slot tries the next one at its next poll, not at once"
CAPACITY = 3
NOT_HERE = frozenset({"provisioning"})
"""The fixtures of ports that this rig has no adapter for."""


def gaps() -> dict[str, str]:
    """The parts of the contract that moto breaks; a configured emulator is assumed to be better."""
    found = {"fair groups": FAIRNESS, "one launch wins": LAUNCHES}
    return found if os.environ.get(ENDPOINT_VARIABLE) else found | {"stale receipts": STALENESS}


def fake_ec2(clock: Callable[[], float]) -> FakeEc2:
    """An EC2 on which instances are there, and gone, at once."""
    return FakeEc2(clock, random.Random(1), Ec2Faults(boot_s=0.0, shutdown_s=0.0))


def aws_backend(
    deployment: Deployment,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    ec2: FakeEc2,
) -> Backend:
    """The parts of a backend that need SQS, S3 and instances."""
    options = LaunchCandidates(launch_candidates(["c6a.large"], ["a", "b"], ["spot"]), clock)
    parts = SimpleNamespace(
        name="aws",
        requests=deployment.requests,
        dead_letters=deployment.dead_letters,
        responses=SqsResponseQueues(
            deployment.session,
            deployment.names,
            retries=QUICK,
            clock=clock,
            sleep=sleep,
            heartbeat_interval_s=30.0,
        ),
        inputs=deployment.inputs,
        outputs=deployment.outputs,
        records=deployment.records,
        storage=UncountedStorage(),
        lease=deployment.lease("contract"),
        fleet=Ec2Fleet(
            ec2,
            ec2,
            LaunchLedger(deployment.records, "worker"),
            deployment.names,
            lambda: options,
            capacity=CAPACITY,
            clock=clock,
        ),
        close=deployment.session.close,
    )
    return cast("Backend", parts)
