"""The aws backend: `iraas.core.ports.Backend`, put together from SQS, S3 and EC2."""

import os
import secrets
import socket
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from iraas.backends.aws.fleet.config import (
    CurrentLaunchOptions,
    FleetConfig,
    KeptOptions,
    web_launches,
    worker_launches,
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
from iraas.backends.aws.provisioning.provisioning import AwsStack
from iraas.backends.aws.queues.response_queues import SqsResponseQueues
from iraas.backends.aws.queues.sqs_queue import SqsQueue
from iraas.backends.aws.session import AwsSession, ClientLimits
from iraas.backends.aws.storage.controller_lease import S3ControllerLease
from iraas.backends.aws.storage.s3_store import S3Store
from iraas.core.ports import Launch, UncountedStorage
from iraas.core.settings import MAX_FLEET

_LAUNCH_LIMITS = ClientLimits(attempts=1, connect_timeout_s=5.0, read_timeout_s=25.0)
"""A launch is sent by us as often as is right, and by the SDK once; two tries fit in
`ec2_launch.SEND_WITHIN_S`."""


class AwsBackend:
    """A deployment on AWS. Opening one makes no call; it may be used by several threads, but not
    after a fork.
    """

    def __init__(
        self,
        deployment: str,
        region: str | None = None,
        *,
        endpoint_url: str | None = None,
        options: FleetConfig | None = None,
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
            endpoint_url: Where all services are; None for the SDK's own rules.
            options: What to provision it with; None to leave what it was provisioned with.
            capacity: Workers at most, 1..19; never more than it was provisioned for.
            bundle: Finds the model bundle's folder; needed to provision.
            prices: A price table of one's own.
            report: Tells a person what the stack is doing.
            sleep: Waits that many seconds, while the stack waits.

        Raises:
            UsageError: The name cannot be used on AWS.
        """
        self._names = Names(deployment)
        self._session = AwsSession(region, endpoint_url=endpoint_url)
        self._launch_session = AwsSession(region, endpoint_url=endpoint_url, limits=_LAUNCH_LIMITS)
        self._options = options
        self._capacity = capacity
        self._bundle = bundle
        self._prices = prices
        self._report = report
        self._sleep = sleep
        self._holder = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._kept = KeptOptions(lambda: self._store(INSTALL_PREFIX), time.monotonic)

    @property
    def name(self) -> str:
        """``aws``."""
        return "aws"

    @property
    def session(self) -> AwsSession:
        """What makes the calls."""
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
        """The output store: outcomes and nothing else."""
        return self._store(OUTCOMES_PREFIX)

    @cached_property
    def records(self) -> S3Store:
        """Jobs, manifests, workers' records, decisions, and the ledgers of launches."""
        return self._store(RECORDS_PREFIX)

    @cached_property
    def fleet(self) -> Ec2Fleet:
        """The workers."""
        return self._fleet("worker", self._names.worker, self._capacity, self._worker_options)

    @cached_property
    def lease(self) -> S3ControllerLease:
        """The controller's lease."""
        return S3ControllerLease(self._session, self._outputs_bucket, RECORDS_PREFIX, self._holder)

    @cached_property
    def stack(self) -> AwsStack:
        """The resources as a whole."""
        return AwsStack(
            self._session,
            self._names,
            self.records,
            self._kept,
            options=self._options,
            bundle=self._bundle,
            prices=self._prices,
            report=self._report,
            sleep=self._sleep,
        )

    @property
    def storage(self) -> UncountedStorage:
        """Not counted: a bucket does not run full, and its objects expire."""
        return UncountedStorage()

    @cached_property
    def pricing(self) -> PriceTable:
        """What its instances cost."""
        return load_prices(self._session.region, self._prices)

    @cached_property
    def web_tier(self) -> Ec2Fleet:
        """The one instance of the web tier: a fleet of a single slot, never on Spot."""
        return self._fleet("web", self._names.web, 1, self._web_options)

    def launch_web_tier(self) -> Launch:
        """Launch the web tier's instance unless it is there, with some patience. Idempotent.

        Raises:
            NotProvisionedError: There is nothing to launch it from.
            IraasError: It cannot be launched.
        """
        return launch_web_tier(self.web_tier, sleep=self._sleep)

    def close(self) -> None:
        """Let go of connections and threads. Idempotent."""
        self._session.close()
        self._launch_session.close()

    def _inputs_bucket(self) -> str:
        return self._names.inputs_bucket(self._session.account(), self._session.region)

    def _outputs_bucket(self) -> str:
        return self._names.outputs_bucket(self._session.account(), self._session.region)

    def _store(self, prefix: str) -> S3Store:
        return S3Store(self._session, self._outputs_bucket, prefix)

    def _fleet(
        self, role: str, template: str, capacity: int, options: Callable[[], LaunchCandidates]
    ) -> Ec2Fleet:
        return Ec2Fleet(
            _LazyEc2(lambda: self._session.client("ec2")),
            _LazyEc2(self._guarded_client),
            LaunchLedger(self.records, role),
            self._names,
            options,
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
    def _worker_options(self) -> CurrentLaunchOptions:
        return CurrentLaunchOptions(self._kept, worker_launches, time.time)

    @cached_property
    def _web_options(self) -> CurrentLaunchOptions:
        return CurrentLaunchOptions(self._kept, web_launches, time.time)


class _LazyEc2:
    """An EC2 client that is made with its first call: opening a backend makes none."""

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client

    def run_instances(self, **request: Any) -> Any:
        """Launch."""
        return self._client().run_instances(**request)

    def describe_instances(self, **request: Any) -> Any:
        """List."""
        return self._client().describe_instances(**request)

    def terminate_instances(self, **request: Any) -> Any:
        """End."""
        return self._client().terminate_instances(**request)
