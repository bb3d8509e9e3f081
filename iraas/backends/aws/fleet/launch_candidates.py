"""Launch candidates: instance types, subnets and pricing models in order, with cooldowns.

EC2 rejects a launch without capacity by a code that names what is exhausted: this type in this
zone, all Spot instances of the account, its vCPUs. That scope then cools down for a time that
doubles with each rejection. A rejection for any other reason (a permission, a parameter) starts a
cooldown of all launches: the next slot would fail likewise.
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html)
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from iraas.core.settings import MAX_FLEET

Pricing = Literal["spot", "on-demand"]
Scope = Literal["candidate", "subnet", "instance_type", "pricing", "all"]

FIRST_COOLDOWN_S = 30.0
MAX_COOLDOWN_S = 600.0
MAX_SHORT_COOLDOWN_S = 20.0
UNSUPPORTED_COOLDOWN_S = 3600.0
"""A type that a zone does not offer at all is tried again after an hour."""
FIRST_SHORT_COOLDOWN_S = 2.0
NAMED_COOLDOWNS = 3
PROFILE_NOT_READY = "InstanceProfileNotReady"
"""Our own code: EC2 does not know a new instance profile for some seconds."""
_SHORT_COOLDOWN_CODES = (
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    PROFILE_NOT_READY,
    "EndpointConnectionError",
    "ConnectTimeoutError",
)
"""Causes that usually resolve in seconds; the last two mean that no connection was made."""

REJECTION_SCOPES: dict[str, Scope] = {
    "InsufficientInstanceCapacity": "candidate",
    "InsufficientCapacity": "candidate",
    "InsufficientHostCapacity": "candidate",
    "SpotMaxPriceTooLow": "candidate",
    "Unsupported": "candidate",
    "UnsupportedOperation": "candidate",
    "InvalidInstanceType": "instance_type",
    "InstanceLimitExceeded": "instance_type",
    "InsufficientFreeAddressesInSubnet": "subnet",
    "InsufficientVolumeCapacity": "subnet",
    "InvalidSubnetID.NotFound": "subnet",
    "MaxSpotInstanceCountExceeded": "pricing",
    "SpotInstanceCountLimitExceeded": "pricing",
    "VcpuLimitExceeded": "pricing",
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": "pricing",
    "VolumeLimitExceeded": "all",
    "RequestLimitExceeded": "all",
    "Throttling": "all",
    "ThrottlingException": "all",
    PROFILE_NOT_READY: "all",
    "RequestExpired": "all",
    "PendingVerification": "all",
    "Blocked": "all",
}
"""Error codes that reject a launch for now, and the scope that each is about."""


@dataclass(frozen=True, slots=True)
class LaunchCandidate:
    """One way to launch an instance.

    Attributes:
        instance_type: The instance type.
        subnet_id: The subnet, which determines the zone.
        pricing: The pricing model.
    """

    instance_type: str
    subnet_id: str
    pricing: Pricing

    def __str__(self) -> str:
        return f"{self.instance_type} {self.pricing} in {self.subnet_id}"


def launch_candidates(
    instance_types: Sequence[str], subnet_ids: Sequence[str], pricings: Sequence[Pricing]
) -> tuple[LaunchCandidate, ...]:
    """All combinations in order of preference: pricing first, then instance type, then subnet.

    Args:
        instance_types: Instance types, in order of preference.
        subnet_ids: Subnets, in order of preference.
        pricings: Pricing models, in order of preference.
    """
    return tuple(
        LaunchCandidate(instance_type=instance_type, subnet_id=subnet, pricing=pricing)
        for pricing, instance_type, subnet in product(pricings, instance_types, subnet_ids)
    )


@dataclass(slots=True)
class _Cooldown:
    length_s: float
    until: float
    code: str
    text: str


class LaunchCandidates:
    """The launch candidates of one fleet and their cooldowns. Thread-safe.

    Cooldowns live in memory: a restarted controller tries all candidates again.
    """

    def __init__(
        self,
        candidates: Sequence[LaunchCandidate],
        clock: Callable[[], float],
        *,
        max_instances: int = MAX_FLEET,
    ) -> None:
        """Start without cooldowns.

        Args:
            candidates: The candidates, in order of preference.
            clock: Seconds since the epoch.
            max_instances: Maximum number of instances that the deployment was provisioned for.

        Raises:
            ValueError: There are no candidates.
        """
        if not candidates:
            raise ValueError("a fleet needs at least one launch candidate")
        self.max_instances = max_instances
        self._candidates = tuple(candidates)
        self._clock = clock
        self._cooldowns: dict[tuple[str, ...], _Cooldown] = {}
        self._lock = threading.Lock()

    def pick(self, slot: int) -> LaunchCandidate | None:
        """Return the first candidate for a slot that is not in cooldown, or None.

        Slots start at different subnets, so that a fleet is spread over the zones.
        """
        cooling = self._active_cooldowns(self._clock()).keys()
        subnets = list(dict.fromkeys(candidate.subnet_id for candidate in self._candidates))
        order = {subnet: (index - slot) % len(subnets) for index, subnet in enumerate(subnets)}
        best: LaunchCandidate | None = None
        for candidate in self._candidates:
            if not cooling.isdisjoint(_scopes(candidate)):
                continue
            if best is None:
                best = candidate
            elif (candidate.pricing, candidate.instance_type) != (best.pricing, best.instance_type):
                break
            elif order[candidate.subnet_id] < order[best.subnet_id]:
                best = candidate
        return best

    def record_rejection(self, candidate: LaunchCandidate, code: str, text: str = "") -> None:
        """Start a cooldown of the scope that a code is about; consecutive ones double in length.

        Args:
            candidate: The rejected candidate.
            code: The error code.
            text: The reason, if it is not capacity.
        """
        key = _key(candidate, REJECTION_SCOPES.get(code, "all"))
        now = self._clock()
        with self._lock:
            cooldown = self._cooldowns.get(key)
            if cooldown is not None and cooldown.until > now:
                return  # another thread got the same rejection at the same time
            length = _cooldown_s(code, cooldown)
            self._cooldowns[key] = _Cooldown(length, now + length, code, text)

    def record_success(self, candidate: LaunchCandidate) -> None:
        """Reset the cooldowns of a candidate that succeeded."""
        with self._lock:
            for scope in _scopes(candidate):
                self._cooldowns.pop(scope, None)

    def shortage(self) -> str:
        """Describe the active cooldowns; empty if there are none."""
        now = self._clock()
        cooldowns = self._active_cooldowns(now)
        if not cooldowns:
            return ""
        next_try_s = min(cooldown.until for cooldown in cooldowns.values()) - now
        next_try = f"next try in {next_try_s:.0f} s"
        texts = [cooldown.text for cooldown in cooldowns.values() if cooldown.text]
        if texts:
            return f"{texts[0]}; {next_try}"
        if all(cooldown.code in _SHORT_COOLDOWN_CODES for cooldown in cooldowns.values()):
            codes = ", ".join(cooldown.code for cooldown in cooldowns.values())
            return f"not ready yet: {codes}; {next_try}"
        reasons = ", ".join(
            f"{cooldown.code} for {_describe(key)}"
            for key, cooldown in list(cooldowns.items())[:NAMED_COOLDOWNS]
        )
        more = (
            f" and {len(cooldowns) - NAMED_COOLDOWNS} more"
            if len(cooldowns) > NAMED_COOLDOWNS
            else ""
        )
        return f"capacity-limited: {reasons}{more}; {next_try}"

    def retry_after_s(self) -> float | None:
        """Seconds until the cooldowns end if all causes usually resolve in seconds; or None."""
        now = self._clock()
        cooldowns = self._active_cooldowns(now).values()
        if not cooldowns or any(
            cooldown.code not in _SHORT_COOLDOWN_CODES for cooldown in cooldowns
        ):
            return None
        return max(cooldown.until for cooldown in cooldowns) - now

    def _active_cooldowns(self, now: float) -> dict[tuple[str, ...], _Cooldown]:
        with self._lock:
            return {
                scope: cooldown
                for scope, cooldown in self._cooldowns.items()
                if cooldown.until > now
            }


def _cooldown_s(code: str, before: _Cooldown | None) -> float:
    if code in ("Unsupported", "UnsupportedOperation"):
        return UNSUPPORTED_COOLDOWN_S
    soon = code in _SHORT_COOLDOWN_CODES
    if before is None:
        return FIRST_SHORT_COOLDOWN_S if soon else FIRST_COOLDOWN_S
    return min(MAX_SHORT_COOLDOWN_S if soon else MAX_COOLDOWN_S, before.length_s * 2)


def _key(candidate: LaunchCandidate, scope: Scope) -> tuple[str, ...]:
    if scope == "candidate":
        return ("candidate", candidate.instance_type, candidate.subnet_id, candidate.pricing)
    if scope == "subnet":
        return ("subnet", candidate.subnet_id)
    if scope == "instance_type":
        return ("instance_type", candidate.instance_type)
    if scope == "pricing":
        return ("pricing", candidate.pricing)
    return ("all",)


def _scopes(candidate: LaunchCandidate) -> list[tuple[str, ...]]:
    scopes: tuple[Scope, ...] = ("candidate", "subnet", "instance_type", "pricing", "all")
    return [_key(candidate, scope) for scope in scopes]


def _describe(key: tuple[str, ...]) -> str:
    if key[0] == "candidate":
        return f"{key[1]} {key[3]} in {key[2]}"
    if key[0] == "pricing":
        return f"all {key[1]} instances"
    return key[1] if len(key) > 1 else "all launches"
