"""AWS clients. Region and credentials follow the SDK's own rules.

Configuration and reasons:

- Retries use botocore's standard mode: throttling, 5xx replies and network errors are retried with
  exponential, jittered backoff up to `ClientLimits.attempts`, and a retry quota shared by all
  threads limits the load during an outage
  (https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html).
- The read timeout exceeds the longest poll of a queue; otherwise every empty poll would time out.
- Clients for data (SQS and S3) skip work that costs CPU and catches nothing here: validation of
  parameters built by our own code, composing a user agent per call, the trailing checksum that
  requires a chunked upload (`S3Store` sends a plain one), and the ``Expect: 100-continue`` round
  trip before each upload. `docs/design/aws-clients-and-retries.md` has the
  measurements.
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
from iraas.backends.aws.errors import translate_errors
from iraas.errors import ConfigurationError

if TYPE_CHECKING:
    from boto3.session import Session
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient

ServiceName = Literal["ec2", "iam", "pricing", "s3", "service-quotas", "sqs", "ssm", "sts"]
_DATA_SERVICES = ("s3", "sqs")
_EXPECT_HEADER_OVER_BYTES = 2**20

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Limits on each call.

    A call takes at most ``attempts`` times ``connect_timeout_s + read_timeout_s``, plus up to 20 s
    of backoff between two attempts.

    Attributes:
        attempts: Maximum number of attempts, the first one included; at least 1.
        connect_timeout_s: Connection timeout, in seconds.
        read_timeout_s: Read timeout, in seconds; more than the 20 s of the longest queue poll.
        connections: Connections to each service, and threads for concurrent calls.
    """

    attempts: int = 5
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    connections: int = 16


class AwsSession:
    """AWS clients, each created once on first use. Thread-safe.

    Not for use after a fork: sockets and locks do not survive it.
    """

    def __init__(
        self,
        region: str | None = None,
        *,
        endpoint_url: str | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        """Configure the session without calling AWS.

        Args:
            region: The region; None for the SDK's own rules.
            endpoint_url: Endpoint of all services; None for the SDK's own rules, including
                ``AWS_ENDPOINT_URL``.
            limits: Limits on each call.
        """
        self._requested_region = region
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
        with translate_errors("sts", "the AWS configuration"):
            region = self._boto_session().region_name
        if not region:
            raise ConfigurationError(
                "no AWS region is configured",
                remedy="Pass --region, or set AWS_DEFAULT_REGION, or run: aws configure",
            )
        return region

    def account(self) -> str:
        """The account's twelve-digit id, requested once (``sts:GetCallerIdentity``)."""
        with self._lock:
            if self._account is None:
                with translate_errors("sts", "this account"):
                    self._account = str(self.client("sts").get_caller_identity()["Account"])
            return self._account

    @property
    def uses_tls(self) -> bool:
        """False for emulators without TLS, where a TLS-only policy would lock us out."""
        return str(self.client("s3").meta.endpoint_url).startswith("https://")

    @property
    def sqs(self) -> "SQSClient":
        """The SQS client."""
        return cast("SQSClient", self.client("sqs"))

    @property
    def s3(self) -> "S3Client":
        """The S3 client."""
        return cast("S3Client", self.client("s3"))

    def client(self, service: ServiceName) -> Any:
        """The client of a service: thread-safe, and the same object each time.

        Raises:
            ConfigurationError: No region is configured, or the SDK cannot create the client.
            CredentialsError: The configuration names a profile that does not exist.
        """
        client = self._clients.get(service)
        return self._make_client(service) if client is None else client

    def map_concurrently(
        self, act: Callable[[Item], Result], items: Sequence[Item]
    ) -> list[Result]:
        """Apply a function to items in a thread pool; wait for all, then raise the first error.

        Args:
            act: The function. It must not call this method: all threads could wait for each other.
            items: Its arguments.

        Returns:
            The results, in the order of the items.
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
        """Close connections and threads; later use opens new ones. Idempotent."""
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
                self._session = boto3.session.Session(region_name=self._requested_region)
            return self._session

    def _make_client(self, service: ServiceName) -> Any:
        with self._lock:
            if service not in self._clients:
                region = self.region
                with translate_errors(service, f"the region {region}"):
                    client = self._boto_session().client(
                        service,
                        region_name=region,
                        endpoint_url=self._endpoint_url,
                        config=_config(service, self._limits),
                    )
                if service == "s3":
                    client.meta.events.register("before-send.s3.PutObject", _skip_expect_header)
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


def _skip_expect_header(request: Any, **_: object) -> None:
    """Drop the SDK's ``Expect: 100-continue``, unless an early rejection saves a large upload."""
    if int(request.headers.get("Content-Length") or 0) <= _EXPECT_HEADER_OVER_BYTES:
        del request.headers["Expect"]
