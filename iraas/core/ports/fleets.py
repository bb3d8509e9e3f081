"""Fleets: the instances that run workers, the right to control them, and their costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class InstanceState(Enum):
    """State of an instance, as known to the fleet."""

    BOOTING = "booting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of the fleet (locally: a process) that runs one worker.

    Attributes:
        instance_id: Its id, which is also its worker's id.
        state: Its state, as known to the fleet. The worker's own state is in the worker's record.
        launched_at: Launch time, in seconds since the epoch.
        instance_type: The instance type, or ``process``.
        pricing: ``on-demand``, ``spot`` or ``free``.
        role: ``worker``, or another role in the deployment.
    """

    instance_id: str
    state: InstanceState
    launched_at: float
    instance_type: str
    pricing: str = "free"
    role: str = "worker"


@dataclass(frozen=True, slots=True)
class Launch:
    """Result of a launch.

    Attributes:
        launched: Ids of the launched instances, which may still be booting.
        shortfall: Why fewer than requested were launched; empty otherwise.
    """

    launched: tuple[str, ...]
    shortfall: str = ""


class Fleet(Protocol):
    """The instances that run workers: a fixed number of slots, at most one instance in each.

    Slots enforce the cap: however many controllers launch concurrently, a slot is filled once. An
    instance terminates when its worker exits.
    """

    @property
    def capacity(self) -> int:
        """The number of slots."""
        ...

    def launch(self, count: int) -> Launch:
        """Launch instances into free slots. Does not wait for their workers.

        The lease holder calls it at each poll, possibly with 0: a fleet may then record the results
        of earlier launches.

        Args:
            count: Maximum number of instances to launch.
        """
        ...

    def instances(self) -> list[Instance]:
        """List existing instances, including those that are booting or stopping."""
        ...

    def non_worker_instances(self) -> list[Instance]:
        """List the deployment's instances outside this fleet, such as the web tier's; they incur
        costs too.
        """
        ...

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """Terminate instances unconditionally. Idempotent; ids of missing instances are ignored.

        Messages that their workers held become visible again when the leases end.

        Args:
            instance_ids: The instances' ids.
        """
        ...


class ControllerLease(Protocol):
    """The right to act as a deployment's controller. The fleet's slots, not the lease, ensure
    safety.
    """

    def hold(self) -> bool:
        """Acquire or renew the lease; return whether this object holds it. Call it before each
        action.
        """
        ...

    def release(self) -> None:
        """Release the lease. Idempotent."""
        ...

    def holder(self) -> str:
        """Id of the holder, for display; empty if there is none."""
        ...


class Pricing(Protocol):
    """Estimated costs of instances."""

    def hour_usd(self, instance_type: str, pricing: str) -> float:
        """Hourly price of an instance, in US dollars.

        Args:
            instance_type: The instance type. One without a price counts as the most expensive one.
            pricing: ``on-demand``, ``spot`` or ``free``.
        """
        ...

    def cost_usd(self, instance_type: str, pricing: str, seconds: float) -> float:
        """Cost of an instance under the billing rules, in US dollars.

        Args:
            instance_type: As in `hour_usd`.
            pricing: As in `hour_usd`.
            seconds: Its running time.
        """
        ...

    def has_price(self, instance_type: str) -> bool:
        """Return whether an instance type has a price of its own."""
        ...


class NoCost:
    """`Pricing` of a free backend."""

    def hour_usd(self, instance_type: str, pricing: str) -> float:
        """Always 0."""
        return 0.0

    def cost_usd(self, instance_type: str, pricing: str, seconds: float) -> float:
        """Always 0."""
        return 0.0

    def has_price(self, instance_type: str) -> bool:
        """Always true."""
        return True
