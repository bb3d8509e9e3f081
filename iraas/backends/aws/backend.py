"""The aws backend: `iraas.core.ports.Backend` on SQS, S3 and EC2."""

import os
import secrets
import socket
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from iraas.backends.aws.fleet.config import (
    CurrentLaunchCandidates,
    FleetConfig,
    StoredFleetConfig,
    web_candidates,
    worker_candidates,
)
from iraas.backends.aws.fleet.ec2_fleet import Ec2Fleet, launch_web_tier
from iraas.backends.aws.fleet.ec2_launch import guard_launches
from iraas.backends.aws.fleet.launch_candidates import LaunchCandidates
from iraas.backends.aws.fleet.launch_ledger import LaunchLedger
from iraas.backends.aws.names import (
    IMAGES_PREFIX,
    INSTALL_PREFIX,
    OUTCOMES_PREFIX,
    RECORDS_PREFIX,
    Names,
)
from iraas.backends.aws.pricing.prices import PriceTable, load_prices
from iraas.backends.aws.provisioning.provisioning import AwsProvisioning
from iraas.backends.aws.queues.response_queues import SqsResponseQueues
from iraas.backends.aws.queues.sqs_queue import SqsQueue
from iraas.backends.aws.session import AwsSession, ClientLimits
from iraas.backends.aws.storage.controller_lease import S3ControllerLease
from iraas.backends.aws.storage.s3_store import S3Store
from iraas.core.ports import Launch, UncountedStorage
from iraas.core.settings import MAX_FLEET

_LAUNCH_LIMITS = ClientLimits(attempts=1, connect_timeout_s=5.0, read_timeout_s=25.0)
"""One attempt per request: the fleet decides itself when to resend. Two fit into
`ec2_launch.SEND_WITHIN_S`."""


class AwsBackend:
    """A deployment on AWS. Opening it makes no call. Thread-safe; not for use after a fork."""

    def __init__(
        self,
        deployment: str,
        region: str | None = None,
        *,
        endpoint_url: str | None = None,
        config: FleetConfig | None = None,
        capacity: int = MAX_FLEET,
        bundle: Callable[[], Path] | None = None,
        prices: Path | None = None,
        report: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open a deployment.

        Args:
            deployment: Its name.
            region: Its region; None for the SDK's own rules.
            endpoint_url: Endpoint of all services; None for the SDK's own rules.
            config: The configuration to provision; None for the stored one.
            capacity: Maximum number of workers, 1..19; the provisioned maximum applies as well.
            bundle: Returns the model bundle's folder; required to provision.
            prices: A price table that replaces the one in the package.
            report: Called with progress messages while provisioning.
            sleep: Waits for a number of seconds while provisioning.

        Raises:
            UsageError: The name cannot be used on AWS.
        """
        self._names = Names(deployment)
        self._session = AwsSession(region, endpoint_url=endpoint_url)
        self._launch_session = AwsSession(region, endpoint_url=endpoint_url, limits=_LAUNCH_LIMITS)
        self._config = config
        self._capacity = capacity
        self._bundle = bundle
        self._prices = prices
        self._report = report
        self._sleep = sleep
        self._holder = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._stored_config = StoredFleetConfig(lambda: self._store(INSTALL_PREFIX), time.monotonic)

    @property
    def name(self) -> str:
        """``aws``."""
        return "aws"

    @property
    def session(self) -> AwsSession:
        """The AWS session."""
        return self._session

    @property
    def names(self) -> Names:
        """The names of the deployment's resources."""
        return self._names

    @cached_property
    def requests(self) -> SqsQueue:
        """The request queue."""
        return SqsQueue(self._session, self._names.requests)

    @cached_property
    def dead_letters(self) -> SqsQueue:
        """The dead-letter queue."""
        return SqsQueue(self._session, self._names.dead_letters)

    @cached_property
    def responses(self) -> SqsResponseQueues:
        """The response queues."""
        return SqsResponseQueues(self._session, self._names)

    @cached_property
    def inputs(self) -> S3Store:
        """The input store."""
        return S3Store(self._session, self._inputs_bucket, IMAGES_PREFIX)

    @cached_property
    def outputs(self) -> S3Store:
        """The output store: outcomes only."""
        return self._store(OUTCOMES_PREFIX)

    @cached_property
    def records(self) -> S3Store:
        """The records store: jobs, manifests, worker records, decisions and launch ledgers."""
        return self._store(RECORDS_PREFIX)

    @cached_property
    def fleet(self) -> Ec2Fleet:
        """The worker fleet."""
        return self._fleet("worker", self._names.worker, self._capacity, self._worker_candidates)

    @cached_property
    def lease(self) -> S3ControllerLease:
        """The controller's lease."""
        return S3ControllerLease(self._session, self._outputs_bucket, RECORDS_PREFIX, self._holder)

    @cached_property
    def provisioning(self) -> AwsProvisioning:
        """The deployment's resources as a whole."""
        return AwsProvisioning(
            self._session,
            self._names,
            self.records,
            self._stored_config,
            config=self._config,
            bundle=self._bundle,
            prices=self._prices,
            report=self._report,
            sleep=self._sleep,
        )

    @property
    def storage(self) -> UncountedStorage:
        """Unlimited: S3 has no quota, and objects expire."""
        return UncountedStorage()

    @cached_property
    def pricing(self) -> PriceTable:
        """The region's price table."""
        return load_prices(self._session.region, self._prices)

    @cached_property
    def web_tier(self) -> Ec2Fleet:
        """The web tier's fleet: a single on-demand slot."""
        return self._fleet("web", self._names.web, 1, self._web_candidates)

    def launch_web_tier(self) -> Launch:
        """Launch the web tier's instance unless it exists, waiting for a new role. Idempotent.

        Raises:
            NotProvisionedError: The deployment has not been provisioned.
            IraasError: The launch failed.
        """
        return launch_web_tier(self.web_tier, sleep=self._sleep)

    def close(self) -> None:
        """Close connections and threads. Idempotent."""
        self._session.close()
        self._launch_session.close()

    def _inputs_bucket(self) -> str:
        return self._names.inputs_bucket(self._session.account(), self._session.region)

    def _outputs_bucket(self) -> str:
        return self._names.outputs_bucket(self._session.account(), self._session.region)

    def _store(self, prefix: str) -> S3Store:
        return S3Store(self._session, self._outputs_bucket, prefix)

    def _fleet(
        self, role: str, template: str, capacity: int, candidates: Callable[[], LaunchCandidates]
    ) -> Ec2Fleet:
        return Ec2Fleet(
            _LazyEc2(lambda: self._session.client("ec2")),
            _LazyEc2(self._guarded_client),
            LaunchLedger(self.records, role),
            self._names,
            candidates,
            capacity=capacity,
            role=role,
            template=template,
            holder=self._holder,
        )

    @cached_property
    def _guarded(self) -> Any:
        client = self._launch_session.client("ec2")
        guard_launches(client.meta.events)
        return client

    def _guarded_client(self) -> Any:
        return self._guarded

    @cached_property
    def _worker_candidates(self) -> CurrentLaunchCandidates:
        return CurrentLaunchCandidates(self._stored_config, worker_candidates, time.time)

    @cached_property
    def _web_candidates(self) -> CurrentLaunchCandidates:
        return CurrentLaunchCandidates(self._stored_config, web_candidates, time.time)


class _LazyEc2:
    """EC2 client that is created on its first call, so that opening a backend makes none."""

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client

    def run_instances(self, **request: Any) -> Any:
        """Launch instances."""
        return self._client().run_instances(**request)

    def describe_instances(self, **request: Any) -> Any:
        """List instances."""
        return self._client().describe_instances(**request)

    def terminate_instances(self, **request: Any) -> Any:
        """Terminate instances."""
        return self._client().terminate_instances(**request)
