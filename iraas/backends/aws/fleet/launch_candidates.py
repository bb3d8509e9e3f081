"""Where to launch next: types, subnets and ways to pay, in order; what refused rests for a while.

EC2 answers a launch it has no room for with a code that tells what is full: this type in this zone,
all Spot instances of the account, its vCPUs. What is full is left alone for a while that doubles
with each no, so that a fleet without capacity asks now and then, and never in a hot loop. What EC2
refuses for any other reason (a permission, a parameter) lets all launches rest: the next slot would
only be told the same.
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html)
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from iraas.core.settings import MAX_FLEET

Pricing = Literal["spot", "on-demand"]
Scope = Literal["option", "subnet", "kind", "pricing", "all"]

FIRST_REST_S = 30.0
LONGEST_REST_S = 600.0
LONGEST_SHORT_REST_S = 20.0
UNSUPPORTED_REST_S = 3600.0
"""A type that a zone does not have at all is asked for again after an hour."""
SHORT_REST_S = 2.0
NAMED_RESTS = 3
PROFILE_NOT_READY = "InstanceProfileNotReady"
"""Our word: a role that was made just now is not known to EC2 for some seconds."""
_SOON_OVER = (
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    PROFILE_NOT_READY,
    "EndpointConnectionError",
    "ConnectTimeoutError",
)
"""What is often over within seconds; the last two say that nobody was reached."""

REFUSALS: dict[str, Scope] = {
    "InsufficientInstanceCapacity": "option",
    "InsufficientCapacity": "option",
    "InsufficientHostCapacity": "option",
    "SpotMaxPriceTooLow": "option",
    "Unsupported": "option",
    "UnsupportedOperation": "option",
    "InvalidInstanceType": "kind",
    "InstanceLimitExceeded": "kind",
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
"""The error codes that mean "not now, not this", and what each is about."""


@dataclass(frozen=True, slots=True)
class LaunchOption:
    """One way to launch an instance.

    Attributes:
        kind: The instance type.
        subnet_id: The subnet, and with it the zone.
        pricing: How it is paid.
    """

    kind: str
    subnet_id: str
    pricing: Pricing

    def __str__(self) -> str:
        return f"{self.kind} {self.pricing} in {self.subnet_id}"


def launch_options(
    kinds: Sequence[str], subnet_ids: Sequence[str], pricings: Sequence[Pricing]
) -> tuple[LaunchOption, ...]:
    """All combinations, in the order in which they are tried: the way to pay matters most, then
    the type, then the subnet.
    """
    return tuple(
        LaunchOption(kind=kind, subnet_id=subnet, pricing=pricing)
        for pricing, kind, subnet in product(pricings, kinds, subnet_ids)
    )


@dataclass(slots=True)
class _Cooldown:
    length_s: float
    until: float
    code: str
    text: str


class LaunchCandidates:
    """The options of one fleet and which of them rest. Safe to use from several threads.

    It lives in memory: a controller that starts anew asks everything once more.
    """

    def __init__(
        self,
        options: Sequence[LaunchOption],
        clock: Callable[[], float],
        *,
        most: int = MAX_FLEET,
    ) -> None:
        """Start with nothing resting.

        Args:
            options: In the order in which they are tried.
            clock: Gives seconds since the epoch.
            most: Instances at most that the deployment was made for.
        """
        if not options:
            raise ValueError("a fleet needs at least one launch option")
        self.most = most
        self._options = tuple(options)
        self._clock = clock
        self._rests: dict[tuple[str, ...], _Cooldown] = {}
        self._lock = threading.Lock()

    def pick(self, slot: int) -> LaunchOption | None:
        """The first option for a slot that does not rest, or None if all do.

        Slots begin at different subnets, so that a fleet is spread over the zones.
        """
        resting = self._resting(self._clock()).keys()
        subnets = list(dict.fromkeys(option.subnet_id for option in self._options))
        order = {subnet: (place - slot) % len(subnets) for place, subnet in enumerate(subnets)}
        best: LaunchOption | None = None
        for option in self._options:
            if not resting.isdisjoint(_scopes(option)):
                continue
            if best is None:
                best = option
            elif (option.pricing, option.kind) != (best.pricing, best.kind):
                break
            elif order[option.subnet_id] < order[best.subnet_id]:
                best = option
        return best

    def refused(self, option: LaunchOption, code: str, text: str = "") -> None:
        """Let what the code is about rest, longer each time.

        Args:
            option: What was asked for.
            code: The error code.
            text: The reason in words, if it is not for want of capacity.
        """
        key = _key(option, REFUSALS.get(code, "all"))
        now = self._clock()
        with self._lock:
            rest = self._rests.get(key)
            if rest is not None and rest.until > now:
                return  # another thread had the same answer at the same time
            length = _rest_s(code, rest)
            self._rests[key] = _Cooldown(length, now + length, code, text)

    def accepted(self, option: LaunchOption) -> None:
        """Forget the refusals of what just worked."""
        with self._lock:
            for scope in _scopes(option):
                self._rests.pop(scope, None)

    def shortage(self) -> str:
        """What rests now and for how long, in words; empty if nothing does."""
        now = self._clock()
        rests = self._resting(now)
        if not rests:
            return ""
        again_s = min(rest.until for rest in rests.values()) - now
        again = f"next try in {again_s:.0f} s"
        texts = [rest.text for rest in rests.values() if rest.text]
        if texts:
            return f"{texts[0]}; {again}"
        if all(rest.code in _SOON_OVER for rest in rests.values()):
            return f"not ready yet: {', '.join(rest.code for rest in rests.values())}; {again}"
        parts = ", ".join(
            f"{rest.code} for {_words(key)}" for key, rest in list(rests.items())[:NAMED_RESTS]
        )
        more = f" and {len(rests) - NAMED_RESTS} more" if len(rests) > NAMED_RESTS else ""
        return f"capacity-limited: {parts}{more}; {again}"

    def soon_s(self) -> float | None:
        """Seconds until a launch makes sense, if all that is in its way is often over within
        seconds, such as a role that EC2 does not know yet; None otherwise.
        """
        now = self._clock()
        rests = self._resting(now).values()
        if not rests or any(rest.code not in _SOON_OVER for rest in rests):
            return None
        return max(rest.until for rest in rests) - now

    def _resting(self, now: float) -> dict[tuple[str, ...], _Cooldown]:
        with self._lock:
            return {scope: rest for scope, rest in self._rests.items() if rest.until > now}


def _rest_s(code: str, before: _Cooldown | None) -> float:
    if code in ("Unsupported", "UnsupportedOperation"):
        return UNSUPPORTED_REST_S
    soon = code in _SOON_OVER
    if before is None:
        return SHORT_REST_S if soon else FIRST_REST_S
    return min(LONGEST_SHORT_REST_S if soon else LONGEST_REST_S, before.length_s * 2)


def _key(option: LaunchOption, scope: Scope) -> tuple[str, ...]:
    if scope == "option":
        return ("option", option.kind, option.subnet_id, option.pricing)
    if scope == "subnet":
        return ("subnet", option.subnet_id)
    if scope == "kind":
        return ("kind", option.kind)
    if scope == "pricing":
        return ("pricing", option.pricing)
    return ("all",)


def _scopes(option: LaunchOption) -> list[tuple[str, ...]]:
    scopes: tuple[Scope, ...] = ("option", "subnet", "kind", "pricing", "all")
    return [_key(option, scope) for scope in scopes]


def _words(key: tuple[str, ...]) -> str:
    if key[0] == "option":
        return f"{key[1]} {key[3]} in {key[2]}"
    if key[0] == "pricing":
        return f"all {key[1]} instances"
    return key[1] if len(key) > 1 else "all launches"
