"""The memory backend: a deployment in the memory of one process."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from iraas.backends.memory.fleet import MemoryFleet, MemoryLease
from iraas.backends.memory.queue import MemoryQueue, MemoryResponseQueues
from iraas.backends.memory.store import MemoryStore
from iraas.core.ports import NoCost, Resource, StorageUsage


@dataclass(slots=True)
class MemoryProvisioning:
    """The `Provisioning` port in memory. Queues and stores work without it, as the local ones do.

    Attributes:
        backend: The backend with the resources.
        provisioned: Whether the deployment is provisioned.
    """

    backend: "MemoryBackend"
    provisioned: bool = False

    def plan(self) -> list[Resource]:
        """The resources of the deployment."""
        backend = self.backend
        stores = {"inputs": backend.inputs, "outputs": backend.outputs, "records": backend.records}
        return [
            Resource("queue", "requests", self.provisioned or backend.requests.depth().total > 0),
            Resource(
                "queue", "dead-letters", self.provisioned or backend.dead_letters.depth().total > 0
            ),
            *(Resource("queue", name, exists=True) for name in backend.responses.requesters()),
            *(
                Resource("store", name, self.provisioned or any(store.list()), is_data=True)
                for name, store in stores.items()
            ),
            *(
                Resource("instance", instance.instance_id, exists=True)
                for instance in backend.fleet.instances()
            ),
        ]

    def provision(self) -> None:
        """Mark the deployment as provisioned: there is nothing to make."""
        self.provisioned = True

    def teardown(self, *, keep_data: bool = False) -> None:
        """End the instances and empty the queues, and the stores unless `keep_data`."""
        backend = self.backend
        instances = backend.fleet.instances()
        backend.fleet.terminate([instance.instance_id for instance in instances])
        for requester_id in backend.responses.requesters():
            backend.responses.delete(requester_id)
        self.provisioned = False
        backend.requests.clear()
        backend.dead_letters.clear()
        if not keep_data:
            for store in (backend.inputs, backend.outputs, backend.records):
                store.delete([found.key for found in store.list()])


@dataclass(slots=True)
class MemoryStorage:
    """The `Storage` port in memory.

    Attributes:
        backend: The backend whose inputs are counted.
        free_bytes: The free space in bytes; None for no limit.
        total_bytes: The total space in bytes; None for no limit.
    """

    backend: "MemoryBackend"
    free_bytes: int | None = None
    total_bytes: int | None = None

    def usage(self) -> StorageUsage:
        """The used and the free space."""
        used = sum(found.size_bytes for found in self.backend.inputs.list())
        return StorageUsage(used, self.free_bytes, self.total_bytes)

    def recount(self) -> None:
        """Do nothing: `usage` counts at each call."""


class MemoryBackend:
    """The `Backend` port in memory. Thread-safe."""

    name = "memory"

    def __init__(
        self,
        *,
        capacity: int = 4,
        boot_s: float = 0.0,
        max_receives: int = 20,
        max_body_bytes: int = 2**20,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make an empty deployment.

        Args:
            capacity: The number of slots of the fleet, at least 1.
            boot_s: Seconds for which an instance is booting.
            max_receives: How often a request is delivered before it becomes a dead letter.
            max_body_bytes: The longest message body, in bytes of UTF-8.
            clock: Returns the time in seconds, for all parts.
        """
        self.dead_letters = MemoryQueue(max_body_bytes=max_body_bytes, clock=clock)
        self.requests = MemoryQueue(
            max_receives=max_receives,
            dead_letters=self.dead_letters,
            max_body_bytes=max_body_bytes,
            clock=clock,
        )
        self.responses = MemoryResponseQueues(max_body_bytes=max_body_bytes, clock=clock)
        self.pricing = NoCost()
        self.inputs = MemoryStore(clock=clock)
        self.outputs = MemoryStore(clock=clock)
        self.records = MemoryStore(clock=clock)
        self.storage = MemoryStorage(self)
        self.fleet = MemoryFleet(capacity, boot_s=boot_s, clock=clock)
        self.lease = MemoryLease()
        self.provisioning = MemoryProvisioning(self)

    def rival(self) -> "MemoryBackend":
        """The same deployment as another process would open it; only the lease is not shared."""
        other = MemoryBackend()
        other.__dict__.update(self.__dict__)
        other.lease = self.lease.rival("another controller")
        return other

    def close(self) -> None:
        """Release the lease. Idempotent."""
        self.lease.release()
