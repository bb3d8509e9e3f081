"""A fake EC2 with the faults that the documentation allows, on a given clock.

It implements the boto3 EC2 client calls that a fleet makes, with their shapes and errors. It keeps
client tokens per zone and rejects them with other parameters, loses requests and replies, executes
requests late, lists late, and runs out of capacity. It ships with the package, for simulations and
for tests of code that uses `Ec2Fleet`.
"""

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

TERMINATED_LISTED_S = 3600.0
CAPACITY_CODES = (
    "InsufficientInstanceCapacity",
    "SpotMaxPriceTooLow",
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
    "RequestLimitExceeded",
)
DENIAL_CODES = (
    ("UnauthorizedOperation", 403),
    ("OptInRequired", 401),
    ("InvalidParameterValue", 400),
    ("InvalidLaunchTemplateName.NotFoundException", 400),
    ("InvalidAMIID.NotFound", 400),
    ("ResourceCountExceeded", 400),
)
"""Codes of rejections that are not about capacity, with their HTTP statuses."""
NO_PROFILE = (
    "Value (fake) for parameter iamInstanceProfile.name is invalid. "
    "Invalid IAM Instance Profile name"
)

LAUNCHED_SHARE = 0.5
"""Share of server errors after which the instance is launched nevertheless."""


@dataclass(frozen=True, slots=True)
class Ec2Faults:
    """Fault probabilities (0..1, per launch) and delays.

    Attributes:
        refuse: Probability of a lack of capacity.
        deny: Probability of another rejection: a permission, a parameter, a missing template.
        profile_ready_at: Time until which the instance profile is unknown, in seconds since the
            epoch.
        lose_request: Probability that the request never arrives; the caller sees a timeout.
        delay_request: Probability that the request is executed up to `latest_effect_s` later; the
            caller sees a timeout immediately.
        lose_reply: Probability that the request is executed but the caller sees a timeout.
        server_error: Probability that the caller sees a 500; half of those requests are executed.
        latest_effect_s: Maximum delay of a request: the lifetime of its signature.
        listing_lag_s: Maximum time until a new instance is known to DescribeInstances.
        boot_s: Time from pending to running.
        shutdown_s: Maximum time from shutting-down to terminated.
    """

    refuse: float = 0.0
    deny: float = 0.0
    profile_ready_at: float = 0.0
    lose_request: float = 0.0
    delay_request: float = 0.0
    lose_reply: float = 0.0
    server_error: float = 0.0
    latest_effect_s: float = 900.0
    listing_lag_s: float = 0.0
    boot_s: float = 26.0
    shutdown_s: float = 20.0


@dataclass(slots=True)
class FakeInstance:
    """An instance's actual state; times are in seconds since the epoch, infinite if unknown."""

    instance_id: str
    request: Mapping[str, Any]
    launched_at: float
    running_at: float
    listed_from: float
    ending_at: float = float("inf")
    terminated_at: float = float("inf")
    tags: dict[str, str] = field(default_factory=dict)

    def state(self, now: float) -> str:
        """EC2's name of its state."""
        if now >= self.terminated_at:
            return "terminated"
        if now >= self.ending_at:
            return "shutting-down"
        return "running" if now >= self.running_at else "pending"


class FakeEc2:
    """The EC2 of one region. Thread-safe.

    Client calls come first, then methods for the simulated world.
    """

    def __init__(
        self, clock: Callable[[], float], rng: random.Random, faults: Ec2Faults | None = None
    ) -> None:
        """Start without instances.

        Args:
            clock: Seconds since the epoch; never goes back.
            rng: Source of randomness.
            faults: The faults; None for none.
        """
        self.faults = faults or Ec2Faults()
        self.peak = 0
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._clock = clock
        self._rng = rng
        self._lock = threading.RLock()
        self._instances: dict[str, FakeInstance] = {}
        self._tokens: dict[tuple[str, str], tuple[str, str]] = {}
        self._delayed: list[tuple[float, dict[str, Any]]] = []

    def run_instances(self, **request: Any) -> dict[str, Any]:
        """Launch one instance.

        Raises:
            ClientError: As EC2 would.
            ReadTimeoutError: The response is lost.
        """
        with self._lock:
            self._record_call("RunInstances", request)
            fault = self._pick_fault()
            if fault == "lose_request":
                raise read_timeout()
            if fault == "delay_request":
                due = self._clock() + self._rng.uniform(0, self.faults.latest_effect_s)
                self._delayed.append((due, request))
                raise read_timeout()
            if fault == "server_error":
                if self._rng.random() < LAUNCHED_SHARE:
                    self._launch(request, self._clock())
                raise client_error("InternalError", "RunInstances", 500)
            if self._clock() < self.faults.profile_ready_at:
                raise client_error("InvalidParameterValue", "RunInstances", text=NO_PROFILE)
            if fault == "deny":
                code, status = self._rng.choice(DENIAL_CODES)
                raise client_error(code, "RunInstances", status)
            instance = self._launch(request, self._clock(), refuse=fault == "refuse")
            if fault == "lose_reply":
                raise read_timeout()
            return {"Instances": [self._describe(instance)], "ReservationId": "r-0"}

    def describe_instances(self, **request: Any) -> dict[str, Any]:
        """List instances by ids or filters (tags, ids, state), one page per call.

        Raises:
            ClientError: An id is not known (yet, or any more), or a filter is unsupported.
        """
        with self._lock:
            self._record_call("DescribeInstances", request)
            ids = request.get("InstanceIds")
            if ids is not None:
                found = [self._visible(instance, "DescribeInstances") for instance in ids]
            else:
                found = [
                    instance
                    for instance in self._listed()
                    if self._passes(instance, request["Filters"])
                ]
            start = int(request.get("NextToken", 0))
            end = start + int(request.get("MaxResults", 1000))
            page: dict[str, Any] = {
                "Reservations": [
                    {"Instances": [self._describe(instance)]} for instance in found[start:end]
                ]
            }
            return page | ({"NextToken": str(end)} if end < len(found) else {})

    def terminate_instances(self, **request: Any) -> dict[str, Any]:
        """Terminate instances.

        Raises:
            ClientError: An id is not known (yet, or any more); none is terminated.
        """
        with self._lock:
            self._record_call("TerminateInstances", request)
            ids = request["InstanceIds"]
            for instance in [self._visible(one, "TerminateInstances") for one in ids]:
                self.end(instance.instance_id)
            return {"TerminatingInstances": [{"InstanceId": one} for one in ids]}

    def create_tags(self, **request: Any) -> dict[str, Any]:
        """Tag instances.

        Raises:
            ClientError: An id is unknown.
        """
        with self._lock:
            self._record_call("CreateTags", request)
            for instance in [
                self._visible(instance, "CreateTags") for instance in request["Resources"]
            ]:
                instance.tags.update({tag["Key"]: tag["Value"] for tag in request["Tags"]})
            return {}

    def live(self) -> list[FakeInstance]:
        """All instances that are not terminated, listed or not."""
        with self._lock:
            self._run_delayed()
            now = self._clock()
            return [
                instance
                for instance in self._instances.values()
                if instance.state(now) != "terminated"
            ]

    def end(self, instance_id: str) -> None:
        """Shut an instance down, as by itself, by a Spot interruption or by a termination."""
        with self._lock:
            self._run_delayed()
            instance = self._instances[instance_id]
            if instance.ending_at > self._clock():
                instance.ending_at = self._clock()
                instance.terminated_at = instance.ending_at + self._rng.uniform(
                    0, self.faults.shutdown_s
                )

    def pending_effects(self) -> int:
        """Number of delayed requests that have not been executed."""
        with self._lock:
            self._run_delayed()
            return len(self._delayed)

    def _record_call(self, operation: str, request: dict[str, Any]) -> None:
        self._run_delayed()
        self.calls.append((operation, request))

    def _pick_fault(self) -> str:
        roll = self._rng.random()
        for name in (
            "refuse",
            "deny",
            "lose_request",
            "delay_request",
            "lose_reply",
            "server_error",
        ):
            roll -= getattr(self.faults, name)
            if roll < 0:
                return name
        return ""

    def _run_delayed(self) -> None:
        now = self._clock()
        due = sorted((when, n) for n, (when, _) in enumerate(self._delayed) if when <= now)
        requests = [(when, self._delayed[n][1]) for when, n in due]
        self._delayed = [delayed for delayed in self._delayed if delayed[0] > now]
        for when, request in requests:
            try:
                self._launch(request, when)
            except Exception as exc:
                if not hasattr(exc, "response"):
                    raise  # an error of this class; nobody waits for EC2's own errors

    def _launch(self, request: dict[str, Any], at: float, *, refuse: bool = False) -> FakeInstance:
        # Idempotency is zonal: with a subnet, the same token in another zone is another launch.
        key = (request.get("ClientToken", ""), request["SubnetId"])
        fingerprint = json.dumps(request, sort_keys=True)
        known, instance_id = self._tokens.get(key, (fingerprint, ""))
        if key[0] and known != fingerprint:
            raise client_error("IdempotentParameterMismatch", "RunInstances")
        if key[0] and instance_id:
            instance = self._instances[instance_id]
            if instance.state(at) in ("shutting-down", "terminated"):
                raise client_error("IdempotentInstanceTerminated", "RunInstances")
            return instance
        self._tokens[key] = (fingerprint, "")
        if refuse:
            code = self._rng.choice(CAPACITY_CODES)
            raise client_error(
                code, "RunInstances", 500 if code.startswith("Insufficient") else 400
            )
        instance = self._new(request, at)
        self._tokens[key] = (fingerprint, instance.instance_id)
        return instance

    def _new(self, request: dict[str, Any], at: float) -> FakeInstance:
        tags = {
            tag["Key"]: tag["Value"]
            for spec in request.get("TagSpecifications", [])
            if spec["ResourceType"] == "instance"
            for tag in spec["Tags"]
        }
        instance = FakeInstance(
            instance_id=f"i-{self._rng.getrandbits(68):017x}",
            request=request,
            launched_at=at,
            running_at=at + self.faults.boot_s,
            listed_from=at + self._rng.uniform(0, self.faults.listing_lag_s),
            tags=tags,
        )
        self._instances[instance.instance_id] = instance
        alive = sum(other.state(at) != "terminated" for other in self._instances.values())
        self.peak = max(self.peak, alive)
        return instance

    def _listed(self) -> Iterator[FakeInstance]:
        now = self._clock()
        for instance in self._instances.values():
            if instance.listed_from <= now <= instance.terminated_at + TERMINATED_LISTED_S:
                yield instance

    def _visible(self, instance_id: str, operation: str) -> FakeInstance:
        for instance in self._listed():
            if instance.instance_id == instance_id:
                return instance
        raise client_error("InvalidInstanceID.NotFound", operation)

    def _passes(self, instance: FakeInstance, filters: list[dict[str, Any]]) -> bool:
        for condition in filters:
            name, values = condition["Name"], condition["Values"]
            if name.startswith("tag:"):
                value = instance.tags.get(name.removeprefix("tag:"))
            elif name == "instance-id":
                value = instance.instance_id
            elif name == "instance-state-name":
                value = instance.state(self._clock())
            else:
                raise client_error("InvalidParameterValue", "DescribeInstances")
            if value not in values:
                return False
        return True

    def _describe(self, instance: FakeInstance) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "InstanceId": instance.instance_id,
            "State": {"Name": instance.state(self._clock())},
            "LaunchTime": datetime.fromtimestamp(instance.launched_at, UTC),
            "InstanceType": instance.request["InstanceType"],
            "SubnetId": instance.request["SubnetId"],
            "ClientToken": instance.request.get("ClientToken", ""),
            "Tags": [{"Key": key, "Value": value} for key, value in instance.tags.items()],
        }
        spot = instance.request.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        return shown | ({"InstanceLifecycle": "spot"} if spot else {})


def client_error(code: str, operation: str, status: int = 400, text: str = "") -> Exception:
    """A ClientError as EC2 would raise it.

    Args:
        code: The error code.
        operation: The API operation.
        status: The HTTP status.
        text: The message; by default derived from the code.
    """
    response: Any = {
        "Error": {"Code": code, "Message": text or f"{code} (fake)"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, operation)


def read_timeout() -> Exception:
    """The error of a caller whose request or response is lost."""
    return ReadTimeoutError(endpoint_url="https://ec2.fake")
