"""A fleet of simulated instances, and the controller's lease."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence

from iraas.core.ports import Instance, InstanceState, Launch


class MemoryFleet:
    """The `Fleet` port in memory: instances boot by the clock, and run until they are ended.

    Thread-safe.

    Attributes:
        available_capacity: The most instances that can be launched whatever the capacity, to
            simulate a cloud that is short of it. None for no limit.
    """

    def __init__(
        self,
        capacity: int,
        *,
        boot_s: float = 0.0,
        on_launch: Callable[[str], None] | None = None,
        on_end: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Start with no instance.

        Args:
            capacity: The number of slots, at least 1.
            boot_s: Seconds for which an instance is booting.
            on_launch: Called with the id of each launched instance.
            on_end: Called with the id of each instance that `terminate` ends.
            clock: Returns the time in seconds.
        """
        if capacity < 1:
            raise ValueError(f"a fleet of {capacity} slots")
        self.available_capacity: int | None = None
        self._capacity = capacity
        self._boot_s = boot_s
        self._on_launch = on_launch
        self._on_end = on_end
        self._clock = clock
        self._numbers = itertools.count(1)
        self._launched_at: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def capacity(self) -> int:
        """The number of slots."""
        return self._capacity

    def launch(self, count: int) -> Launch:
        """Launch instances into free slots. See `iraas.core.ports.Fleet.launch`."""
        with self._lock:
            existing = len(self._launched_at)
            limit = self._capacity
            if self.available_capacity is not None:
                limit = min(limit, self.available_capacity)
            ids = tuple(
                f"w-{next(self._numbers):08d}" for _ in range(max(0, min(count, limit - existing)))
            )
            self._launched_at |= dict.fromkeys(ids, self._clock())
        if self._on_launch:
            for instance_id in ids:
                self._on_launch(instance_id)
        full = f"all {self._capacity} slots are taken"
        shortfall = full if limit == self._capacity else f"there is capacity for {limit} instances"
        return Launch(ids, shortfall if len(ids) < count else "")

    def instances(self) -> list[Instance]:
        """The instances that exist."""
        now = self._clock()
        with self._lock:
            launched = list(self._launched_at.items())
        return [
            Instance(
                instance_id,
                InstanceState.BOOTING if now < at + self._boot_s else InstanceState.RUNNING,
                at,
                "memory",
            )
            for instance_id, at in launched
        ]

    def non_worker_instances(self) -> list[Instance]:
        """None."""
        return []

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """End instances. Idempotent."""
        for instance_id in instance_ids:
            if self.end(instance_id) and self._on_end:
                self._on_end(instance_id)

    def end(self, instance_id: str) -> bool:
        """End an instance without `on_end`, as when its worker exits; whether it existed."""
        with self._lock:
            return self._launched_at.pop(instance_id, None) is not None


class MemoryLease:
    """The `ControllerLease` port in memory; `rival` makes a contender for the same lease.

    Thread-safe.
    """

    def __init__(self, name: str = "a controller") -> None:
        """Start with a free lease.

        Args:
            name: The holder's name while this object holds it.
        """
        self.name = name
        self._held_by: list[MemoryLease] = []
        self._lock = threading.Lock()

    def rival(self, name: str) -> "MemoryLease":
        """Another contender for the same lease."""
        rival = MemoryLease(name)
        rival._held_by = self._held_by
        rival._lock = self._lock
        return rival

    def hold(self) -> bool:
        """Take the lease, or keep it; True while this object holds it."""
        with self._lock:
            if not self._held_by:
                self._held_by.append(self)
            return self._held_by[0] is self

    def release(self) -> None:
        """Release the lease if this object holds it. Idempotent."""
        with self._lock:
            if self in self._held_by:
                self._held_by.remove(self)

    def holder(self) -> str:
        """The holder's name; empty if the lease is free."""
        with self._lock:
            return self._held_by[0].name if self._held_by else ""
