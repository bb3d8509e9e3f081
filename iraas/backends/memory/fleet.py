"""A fleet of instances that are only noted down, and a controller's lease."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence

from iraas.core.ports import Instance, InstanceState, Launch


class MemoryFleet:
    """The `Fleet` port in memory: instances boot by the clock, and run until somebody ends them.

    Threads may share it.

    Attributes:
        room: How many instances there is room for, however large the capacity: what is beyond is
            refused, as a cloud without capacity does. None for no limit.
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
            on_launch: Told the id of each instance that is launched.
            on_end: Told the id of each instance that is ended by `terminate`.
            clock: Tells the time in seconds.
        """
        if capacity < 1:
            raise ValueError(f"a fleet of {capacity} slots")
        self.room: int | None = None
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
            there = len(self._launched_at)
            room = self._capacity if self.room is None else min(self.room, self._capacity)
            ids = tuple(
                f"w-{next(self._numbers):08d}" for _ in range(max(0, min(count, room - there)))
            )
            self._launched_at |= dict.fromkeys(ids, self._clock())
        if self._on_launch:
            for instance_id in ids:
                self._on_launch(instance_id)
        full = f"all {self._capacity} slots are taken"
        refused = full if room == self._capacity else f"there is room for {room} instances only"
        return Launch(ids, refused if len(ids) < count else "")

    def instances(self) -> list[Instance]:
        """The instances that exist."""
        now = self._clock()
        with self._lock:
            there = list(self._launched_at.items())
        return [
            Instance(
                instance_id,
                InstanceState.BOOTING if now < at + self._boot_s else InstanceState.RUNNING,
                at,
                "memory",
            )
            for instance_id, at in there
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
        """Let an instance be gone, as when its worker leaves; True if it was there."""
        with self._lock:
            return self._launched_at.pop(instance_id, None) is not None


class MemoryLease:
    """The `ControllerLease` port in memory; `rival` makes another that contends for the same.

    Threads may share it.
    """

    def __init__(self, name: str = "a controller") -> None:
        """Start with nobody holding the lease.

        Args:
            name: What `holder` says while this object holds it.
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
        """Let somebody else have it. Idempotent."""
        with self._lock:
            if self in self._held_by:
                self._held_by.remove(self)

    def holder(self) -> str:
        """Who holds it; empty if nobody does."""
        with self._lock:
            return self._held_by[0].name if self._held_by else ""
