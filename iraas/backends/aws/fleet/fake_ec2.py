"""An EC2 that behaves as badly as the documentation allows, on a clock of your own.

It has the calls of the boto3 EC2 client that a fleet makes, with their shapes and errors. It keeps
client tokens per zone, refuses them with other parameters, loses requests and replies, carries out
requests late, lists late, and has no capacity when it likes. It ships with the package, for
simulations and for tests of code that uses `Ec2Fleet`.
"""

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from iraas.backends.aws.fleet.fake_ec2_faults import (
    CAPACITY_CODES,
    DENIAL_CODES,
    NO_PROFILE,
    Ec2Faults,
    error,
    timeout,
)

LAUNCHED_SHARE = 0.5
"""The share of server errors after which the instance runs all the same."""
TERMINATED_LISTED_S = 3600.0


@dataclass(slots=True)
class FakeInstance:
    """An instance, as it really is; times are in seconds since the epoch, infinite if not known."""

    instance_id: str
    request: Mapping[str, Any]
    launched_at: float
    running_at: float
    listed_from: float
    ending_at: float = float("inf")
    terminated_at: float = float("inf")
    tags: dict[str, str] = field(default_factory=dict)

    def state(self, now: float) -> str:
        """EC2's word for its state."""
        if now >= self.terminated_at:
            return "terminated"
        if now >= self.ending_at:
            return "shutting-down"
        return "running" if now >= self.running_at else "pending"


class FakeEc2:
    """The EC2 of one region. Safe to use from several threads.

    The first half are the client's calls; the second half is what only a world can do or see.
    """

    def __init__(
        self, clock: Callable[[], float], rng: random.Random, faults: Ec2Faults | None = None
    ) -> None:
        """Start empty. `clock` gives seconds since the epoch and never goes back."""
        self.faults = faults or Ec2Faults()
        self.peak = 0
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._clock = clock
        self._rng = rng
        self._lock = threading.RLock()
        self._instances: dict[str, FakeInstance] = {}
        self._tokens: dict[tuple[str, str], tuple[str, str]] = {}
        self._late: list[tuple[float, dict[str, Any]]] = []

    def run_instances(self, **request: Any) -> dict[str, Any]:
        """Launch one instance.

        Raises:
            ClientError: As EC2 would.
            ReadTimeoutError: The answer is lost.
        """
        with self._lock:
            self._note("RunInstances", request)
            fate = self._fate()
            if fate == "lose_request":
                raise timeout()
            if fate == "delay_request":
                due = self._clock() + self._rng.uniform(0, self.faults.latest_effect_s)
                self._late.append((due, request))
                raise timeout()
            if fate == "server_error":
                if self._rng.random() < LAUNCHED_SHARE:
                    self._launch(request, self._clock())
                raise error("InternalError", "RunInstances", 500)
            if self._clock() < self.faults.profile_ready_at:
                raise error("InvalidParameterValue", "RunInstances", text=NO_PROFILE)
            if fate == "deny":
                code, status = self._rng.choice(DENIAL_CODES)
                raise error(code, "RunInstances", status)
            instance = self._launch(request, self._clock(), refuse=fate == "refuse")
            if fate == "lose_reply":
                raise timeout()
            return {"Instances": [self._shown(instance)], "ReservationId": "r-0"}

    def describe_instances(self, **request: Any) -> dict[str, Any]:
        """List instances by ids or by filters (tags, ids, state), a page at a time.

        Raises:
            ClientError: An id is not known (yet, or any more), or a filter is not.
        """
        with self._lock:
            self._note("DescribeInstances", request)
            ids = request.get("InstanceIds")
            if ids is not None:
                found = [self._visible(one, "DescribeInstances") for one in ids]
            else:
                found = [one for one in self._listed() if self._passes(one, request["Filters"])]
            start = int(request.get("NextToken", 0))
            end = start + int(request.get("MaxResults", 1000))
            page: dict[str, Any] = {
                "Reservations": [{"Instances": [self._shown(one)]} for one in found[start:end]]
            }
            return page | ({"NextToken": str(end)} if end < len(found) else {})

    def terminate_instances(self, **request: Any) -> dict[str, Any]:
        """End instances.

        Raises:
            ClientError: An id is not known (yet, or any more); none is ended.
        """
        with self._lock:
            self._note("TerminateInstances", request)
            for one in [self._visible(one, "TerminateInstances") for one in request["InstanceIds"]]:
                self.end(one.instance_id)
            return {"TerminatingInstances": [{"InstanceId": one} for one in request["InstanceIds"]]}

    def create_tags(self, **request: Any) -> dict[str, Any]:
        """Tag instances.

        Raises:
            ClientError: An id is not known.
        """
        with self._lock:
            self._note("CreateTags", request)
            for one in [self._visible(one, "CreateTags") for one in request["Resources"]]:
                one.tags.update({tag["Key"]: tag["Value"] for tag in request["Tags"]})
            return {}

    def live(self) -> list[FakeInstance]:
        """All instances that are not terminated, listed or not."""
        with self._lock:
            self._catch_up()
            now = self._clock()
            return [one for one in self._instances.values() if one.state(now) != "terminated"]

    def end(self, instance_id: str) -> None:
        """What an instance's own shutdown does, a Spot interruption, or a termination."""
        with self._lock:
            self._catch_up()
            one = self._instances[instance_id]
            if one.ending_at > self._clock():
                one.ending_at = self._clock()
                one.terminated_at = one.ending_at + self._rng.uniform(0, self.faults.shutdown_s)

    def pending_effects(self) -> int:
        """Requests that are still on their way."""
        with self._lock:
            self._catch_up()
            return len(self._late)

    def _note(self, operation: str, request: dict[str, Any]) -> None:
        self._catch_up()
        self.calls.append((operation, request))

    def _fate(self) -> str:
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

    def _catch_up(self) -> None:
        now = self._clock()
        due = sorted((when, n) for n, (when, _) in enumerate(self._late) if when <= now)
        requests = [(when, self._late[n][1]) for when, n in due]
        self._late = [late for late in self._late if late[0] > now]
        for when, request in requests:
            try:
                self._launch(request, when)
            except Exception as exc:
                if not hasattr(exc, "response"):
                    raise  # an error of this class; EC2's own has nobody left to tell

    def _launch(self, request: dict[str, Any], at: float, *, refuse: bool = False) -> FakeInstance:
        # Zonal idempotency: with a subnet, the same token in another zone is another launch.
        key = (request.get("ClientToken", ""), request["SubnetId"])
        fingerprint = json.dumps(request, sort_keys=True)
        known, instance_id = self._tokens.get(key, (fingerprint, ""))
        if key[0] and known != fingerprint:
            raise error("IdempotentParameterMismatch", "RunInstances")
        if key[0] and instance_id:
            one = self._instances[instance_id]
            if one.state(at) in ("shutting-down", "terminated"):
                raise error("IdempotentInstanceTerminated", "RunInstances")
            return one
        self._tokens[key] = (fingerprint, "")
        if refuse:
            code = self._rng.choice(CAPACITY_CODES)
            raise error(code, "RunInstances", 500 if code.startswith("Insufficient") else 400)
        one = self._new(request, at)
        self._tokens[key] = (fingerprint, one.instance_id)
        return one

    def _new(self, request: dict[str, Any], at: float) -> FakeInstance:
        tags = {
            tag["Key"]: tag["Value"]
            for spec in request.get("TagSpecifications", [])
            if spec["ResourceType"] == "instance"
            for tag in spec["Tags"]
        }
        one = FakeInstance(
            instance_id=f"i-{self._rng.getrandbits(68):017x}",
            request=request,
            launched_at=at,
            running_at=at + self.faults.boot_s,
            listed_from=at + self._rng.uniform(0, self.faults.listing_lag_s),
            tags=tags,
        )
        self._instances[one.instance_id] = one
        alive = sum(other.state(at) != "terminated" for other in self._instances.values())
        self.peak = max(self.peak, alive)
        return one

    def _listed(self) -> Iterator[FakeInstance]:
        now = self._clock()
        for one in self._instances.values():
            if one.listed_from <= now <= one.terminated_at + TERMINATED_LISTED_S:
                yield one

    def _visible(self, instance_id: str, operation: str) -> FakeInstance:
        for one in self._listed():
            if one.instance_id == instance_id:
                return one
        raise error("InvalidInstanceID.NotFound", operation)

    def _passes(self, one: FakeInstance, filters: list[dict[str, Any]]) -> bool:
        for condition in filters:
            name, values = condition["Name"], condition["Values"]
            if name.startswith("tag:"):
                value = one.tags.get(name.removeprefix("tag:"))
            elif name == "instance-id":
                value = one.instance_id
            elif name == "instance-state-name":
                value = one.state(self._clock())
            else:
                raise error("InvalidParameterValue", "DescribeInstances")
            if value not in values:
                return False
        return True

    def _shown(self, one: FakeInstance) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "InstanceId": one.instance_id,
            "State": {"Name": one.state(self._clock())},
            "LaunchTime": datetime.fromtimestamp(one.launched_at, UTC),
            "InstanceType": one.request["InstanceType"],
            "SubnetId": one.request["SubnetId"],
            "ClientToken": one.request.get("ClientToken", ""),
            "Tags": [{"Key": key, "Value": value} for key, value in one.tags.items()],
        }
        spot = one.request.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        return shown | ({"InstanceLifecycle": "spot"} if spot else {})
