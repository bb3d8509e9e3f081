"""The one place that makes clients of AWS. Region and credentials come by the SDK's own rules.

What is set here, and why:

- Retries are botocore's standard mode: throttling, 5xx replies and network faults are tried again
  with exponential, jittered backoff up to `ClientLimits.attempts`, and a budget of retries that all
  threads share keeps an outage from becoming a storm
  (https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html).
- The read timeout is longer than the longest poll of a queue, or each quiet poll would be an error.
- Clients of data (SQS and S3) skip what costs CPU and catches nothing here: validation of
  parameters that our own code builds, the composing of a user agent per call, the trailing checksum
  that needs a chunked upload (`S3Store` sends a plain one), and the extra round trip that asks
  before each upload. See ADR 0140 for the measurements.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import boto3
from botocore import __version__ as sdk_version
from botocore.config import Config

import iraas
from iraas.backends.aws.errors import translating
from iraas.errors import ConfigurationError

if TYPE_CHECKING:
    from boto3.session import Session
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient

ServiceName = Literal["ec2", "iam", "pricing", "s3", "service-quotas", "sqs", "ssm", "sts"]
_DATA_SERVICES = ("s3", "sqs")
_ASK_FIRST_OVER_BYTES = 2**20

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """The bounds on what one call may take.

    A call ends after at most ``attempts`` tries of ``connect_timeout_s + read_timeout_s`` each,
    and up to 20 s of backoff between two of them.

    Attributes:
        attempts: Tries of one call, the first one included; at least 1.
        connect_timeout_s: Seconds until a connection must be there.
        read_timeout_s: Seconds of silence until a reply is given up; more than the 20 s that a
            queue may be polled.
        connections: Connections to each service, and threads for calls side by side.
    """

    attempts: int = 5
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    connections: int = 16


class AwsSession:
    """Clients of AWS, each made once and when it is first needed. Thread-safe.

    Not for use after a fork: sockets and locks do not survive one.
    """

    def __init__(
        self,
        region: str | None = None,
        *,
        endpoint_url: str | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        """Say where to go; nothing is called yet.

        Args:
            region: The region; None for the SDK's own rules.
            endpoint_url: Where all services are; None for the SDK's own rules, and so for
                ``AWS_ENDPOINT_URL``.
            limits: The bounds on each call.
        """
        self._wanted_region = region
        self._endpoint_url = endpoint_url
        self._limits = limits or ClientLimits()
        self._lock = threading.RLock()
        self._session: Session | None = None
        self._clients: dict[str, Any] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._account: str | None = None

    @property
    def region(self) -> str:
        """The region's name.

        Raises:
            ConfigurationError: None is configured.
            CredentialsError: The configuration names a profile that does not exist.
        """
        with translating("sts", "the AWS configuration"):
            region = self._boto_session().region_name
        if not region:
            raise ConfigurationError(
                "no AWS region is configured",
                remedy="Pass --region, or set AWS_DEFAULT_REGION, or run: aws configure",
            )
        return region

    def account(self) -> str:
        """The account's number of twelve digits. Asked for once (``sts:GetCallerIdentity``)."""
        with self._lock:
            if self._account is None:
                with translating("sts", "this account"):
                    self._account = str(self.client("sts").get_caller_identity()["Account"])
            return self._account

    @property
    def uses_tls(self) -> bool:
        """Whether AWS is reached by TLS. It is not where an emulator is: there, a policy that
        denies everything without TLS would lock us out.
        """
        return str(self.client("s3").meta.endpoint_url).startswith("https://")

    @property
    def sqs(self) -> "SQSClient":
        """The client of SQS."""
        return cast("SQSClient", self.client("sqs"))

    @property
    def s3(self) -> "S3Client":
        """The client of S3."""
        return cast("S3Client", self.client("s3"))

    def client(self, service: ServiceName) -> Any:
        """The client of a service: thread-safe, the same one each time.

        Raises:
            ConfigurationError: No region is configured, or the SDK cannot make the client.
            CredentialsError: The configuration names a profile that does not exist.
        """
        client = self._clients.get(service)
        return self._make_client(service) if client is None else client

    def map_concurrently(
        self, act: Callable[[Item], Result], items: Sequence[Item]
    ) -> list[Result]:
        """Do the same to several things side by side; wait for all, then raise the first error.

        `act` must not call this method itself: all threads could end up waiting for each other.
        """
        if len(items) <= 1:
            return [act(item) for item in items]
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._limits.connections, "iraas-aws")
            futures = [self._pool.submit(act, item) for item in items]
        errors = [error for error in [future.exception() for future in futures] if error]
        if errors:
            raise errors[0]
        return [future.result() for future in futures]

    def close(self) -> None:
        """Let go of threads and connections; later use makes new ones. Idempotent."""
        with self._lock:
            clients, self._clients = self._clients, {}
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        for client in clients.values():
            client.close()

    def _boto_session(self) -> "Session":
        with self._lock:
            if self._session is None:
                self._session = boto3.session.Session(region_name=self._wanted_region)
            return self._session

    def _make_client(self, service: ServiceName) -> Any:
        with self._lock:
            if service not in self._clients:
                region = self.region
                with translating(service, f"the region {region}"):
                    client = self._boto_session().client(
                        service,
                        region_name=region,
                        endpoint_url=self._endpoint_url,
                        config=_config(service, self._limits),
                    )
                if service == "s3":
                    client.meta.events.register("before-send.s3.PutObject", _send_at_once)
                self._clients[service] = client
            return self._clients[service]


def _config(service: ServiceName, limits: ClientLimits) -> Any:
    common: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": limits.attempts},
        "connect_timeout": limits.connect_timeout_s,
        "read_timeout": limits.read_timeout_s,
        "max_pool_connections": limits.connections + 4,
        "tcp_keepalive": True,
    }
    if service not in _DATA_SERVICES:
        return Config(user_agent_extra=f"iraas/{iraas.__version__}", **common)
    return Config(
        user_agent=f"iraas/{iraas.__version__} Botocore/{sdk_version}",
        parameter_validation=False,
        inject_host_prefix=False,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        **common,
    )


def _send_at_once(request: Any, **_: object) -> None:
    """Take back the SDK's question whether a body may be sent, unless a refusal saves a lot."""
    if int(request.headers.get("Content-Length") or 0) <= _ASK_FIRST_OVER_BYTES:
        del request.headers["Expect"]
