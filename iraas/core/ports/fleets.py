"""Fleets: the machines that run workers, who may launch them, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class InstanceState(Enum):
    """The life of an instance, as far as the fleet can see it."""

    BOOTING = "booting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Instance:
    """A machine of the fleet (locally: a process) that runs one worker.

    Attributes:
        instance_id: Its id, which is its worker's id.
        state: As far as the fleet knows. Whether the worker in it works is in its record.
        launched_at: Seconds since the epoch.
        kind: What it is: an instance type, or ``process``.
        pricing: ``on-demand``, ``spot`` or ``free``.
        role: ``worker``, or what else it is there for.
    """

    instance_id: str
    state: InstanceState
    launched_at: float
    kind: str
    pricing: str = "free"
    role: str = "worker"


@dataclass(frozen=True, slots=True)
class Launch:
    """What came of a launch.

    Attributes:
        launched: The ids of the instances that are on their way.
        shortfall: Why there are fewer than asked for; empty if there are not.
    """

    launched: tuple[str, ...]
    shortfall: str = ""


class Fleet(Protocol):
    """The machines that run the workers: a fixed number of slots, at most one instance in each.

    Slots are what holds the cap: however many controllers launch at the same moment, a slot is
    filled once. An instance ends by itself when its worker leaves.
    """

    @property
    def capacity(self) -> int:
        """The number of slots."""
        ...

    def launch(self, count: int) -> Launch:
        """Launch instances into free slots, up to that many. Does not wait for their workers.

        Whoever holds the lease calls it at each look, if only to launch none: a fleet may then
        write down what has become clear of earlier launches.
        """
        ...

    def instances(self) -> list[Instance]:
        """The instances that exist, those included that are still booting or stopping."""
        ...

    def others(self) -> list[Instance]:
        """The deployment's instances that are not of the fleet, such as the web tier's: they cost
        money, too.
        """
        ...

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """End instances, whatever they are doing; what they held returns after its lease.
        Idempotent: an instance that is gone is no error.
        """
        ...


class ControllerLease(Protocol):
    """The right to act as a deployment's controller. Safety does not hang on it: slots do."""

    def hold(self) -> bool:
        """Take the lease, or keep it; True while this object holds it. Call it before each act."""
        ...

    def release(self) -> None:
        """Let somebody else have it. Idempotent."""
        ...

    def holder(self) -> str:
        """Who holds it, for people; empty if nobody does."""
        ...


class Pricing(Protocol):
    """What instances cost, as far as can be estimated."""

    def hour_usd(self, kind: str, pricing: str) -> float:
        """Dollars for an hour of an instance. A kind without a price counts as the dearest one."""
        ...

    def cost_usd(self, kind: str, pricing: str, seconds: float) -> float:
        """Dollars for an instance that ran so long, by the rules of the bill; as `hour_usd`."""
        ...

    def has_price(self, kind: str) -> bool:
        """Whether a kind of instance has a price of its own."""
        ...


class NoCost:
    """The `Pricing` of what costs nothing."""

    def hour_usd(self, kind: str, pricing: str) -> float:
        """Nothing."""
        return 0.0

    def cost_usd(self, kind: str, pricing: str, seconds: float) -> float:
        """Nothing."""
        return 0.0

    def has_price(self, kind: str) -> bool:
        """It has: nothing."""
        return True
