"""The aws queues, stores, response queues and lease on an emulator, for the contract suite.

The endpoint is a moto server of each test process's own, or, if set, ``IRAAS_TEST_AWS_ENDPOINT``.
The fleet and the stack are not part of it: moto honours no client token, so their own tests hold
them to their ports, on a fake that does.
"""

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

from iraas.backends.aws.response_queues import SqsResponseQueues
from iraas.core.ports import Backend
from tests.functional.aws.deployments import ENDPOINT_VARIABLE, QUICK, Deployment

FAIRNESS = "emulators serve in the order of sending, and moto is slow past a hundred messages"
STALENESS = "moto lets a stale receipt delete"
NOT_HERE = frozenset({"fleet", "stack", "lose_instance"})
"""The fixtures of ports that this rig has no adapter for."""


def gaps() -> dict[str, str]:
    """What the emulator does not keep; one named by hand is taken to be better than moto."""
    found = {"fair groups": FAIRNESS}
    return found if os.environ.get(ENDPOINT_VARIABLE) else found | {"stale receipts": STALENESS}


def aws_backend(deployment: Deployment, clock: Callable[[], float]) -> Backend:
    """The parts of a backend that need SQS and S3 only."""
    parts = SimpleNamespace(
        name="aws",
        requests=deployment.requests,
        dead_letters=deployment.dead_letters,
        responses=SqsResponseQueues(
            deployment.session, deployment.names, retries=QUICK, clock=clock, alive_every_s=30.0
        ),
        inputs=deployment.inputs,
        outputs=deployment.outputs,
        records=deployment.records,
        lease=deployment.lease("contract"),
        close=deployment.session.close,
    )
    return cast("Backend", parts)
