"""Fleets: the instances that run workers, the controller's lease, and the instances' prices."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class InstanceState(Enum):
    """The lifecycle state of an instance, as far as the fleet knows."""

    BOOTING = "booting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Instance:
    """A machine (locally: a process) that runs one worker.

    Attributes:
        instance_id: Its id, which is also its worker's id.
        state: Its state as far as the fleet knows; the worker's own state is in its record.
        launched_at: Seconds since the epoch.
        kind: Its instance type, or ``process``.
        pricing: ``on-demand``, ``spot`` or ``free``.
        role: ``worker``, or another purpose such as ``web``.
    """

    instance_id: str
    state: InstanceState
    launched_at: float
    kind: str
    pricing: str = "free"
    role: str = "worker"


@dataclass(frozen=True, slots=True)
class Launch:
    """The result of a launch.

    Attributes:
        launched: The ids of the launched instances.
        shortfall: Why there are fewer than requested; empty if there are not.
    """

    launched: tuple[str, ...]
    shortfall: str = ""


class Fleet(Protocol):
    """The instances that run the workers: a fixed number of slots, at most one instance in each.

    Slots enforce the cap: however many controllers launch at the same time, a slot is filled once.
    An instance terminates by itself when its worker exits.
    """

    @property
    def capacity(self) -> int:
        """The number of slots."""
        ...

    def launch(self, count: int) -> Launch:
        """Launch instances into free slots. Does not wait for their workers.

        The holder of the lease calls it at each poll, even with a count of 0, so that the fleet can
        record the results of earlier launches.

        Args:
            count: The number of instances to launch; there may be fewer free slots.
        """
        ...

    def instances(self) -> list[Instance]:
        """List the existing instances, including those that are booting or stopping."""
        ...

    def non_worker_instances(self) -> list[Instance]:
        """List the deployment's instances outside the fleet, such as the web tier's: they cost
        money, too.
        """
        ...

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """Terminate instances at once; their messages become visible when their leases end.
        Idempotent: a terminated instance is not an error.
        """
        ...


class ControllerLease(Protocol):
    """The right to act as a deployment's controller. Safety depends on the slots, not on it."""

    def hold(self) -> bool:
        """Acquire or renew the lease; return whether this object holds it. Call it before each
        action.
        """
        ...

    def release(self) -> None:
        """Release the lease. Idempotent."""
        ...

    def holder(self) -> str:
        """Return the holder's display name; empty if nobody holds it."""
        ...


class Pricing(Protocol):
    """Estimated prices of instances. A type without a price counts as the most expensive one."""

    def hour_usd(self, kind: str, pricing: str) -> float:
        """Return the price of an instance, in US dollars per hour.

        Args:
            kind: The instance type.
            pricing: ``on-demand``, ``spot`` or ``free``.
        """
        ...

    def cost_usd(self, kind: str, pricing: str, seconds: float) -> float:
        """Return the cost of an instance by the billing rules, in US dollars.

        Args:
            kind: The instance type.
            pricing: ``on-demand``, ``spot`` or ``free``.
            seconds: How long it ran.
        """
        ...

    def has_price(self, kind: str) -> bool:
        """Return whether an instance type has a price of its own."""
        ...


class NoCost:
    """A `Pricing` of zero for everything."""

    def hour_usd(self, kind: str, pricing: str) -> float:  # noqa: ARG002 - the port's
        """Return 0."""
        return 0.0

    def cost_usd(self, kind: str, pricing: str, seconds: float) -> float:  # noqa: ARG002 - the port's
        """Return 0."""
        return 0.0

    def has_price(self, kind: str) -> bool:  # noqa: ARG002 - the port's
        """Return True."""
        return True
