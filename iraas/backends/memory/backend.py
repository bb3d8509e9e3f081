"""The memory backend as a whole."""

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
        backend: Whose resources.
        provisioned: Whether they were made and not removed since.
    """

    backend: "MemoryBackend"
    provisioned: bool = False

    def plan(self) -> list[Resource]:
        """What the deployment is made of."""
        backend = self.backend
        kept = self.provisioned
        stores = {"inputs": backend.inputs, "outputs": backend.outputs, "records": backend.records}
        return [
            Resource("queue", "requests", kept or backend.requests.depth().total > 0),
            Resource("queue", "dead-letters", kept or backend.dead_letters.depth().total > 0),
            *(Resource("queue", name, exists=True) for name in backend.responses.requesters()),
            *(
                Resource("store", name, kept or any(store.list()), is_data=True)
                for name, store in stores.items()
            ),
            *(
                Resource("instance", one.instance_id, exists=True)
                for one in backend.fleet.instances()
            ),
        ]

    def provision(self) -> None:
        """Note that the resources are wanted: there is nothing to make."""
        self.provisioned = True

    def teardown(self, *, keep_data: bool = False) -> None:
        """End the instances and empty the queues, and the stores unless `keep_data`."""
        backend = self.backend
        backend.fleet.terminate([one.instance_id for one in backend.fleet.instances()])
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
        backend: Whose inputs are counted.
        free_bytes: How much is free; None if there is no end to it.
        total_bytes: How much there is in all; None as above.
    """

    backend: "MemoryBackend"
    free_bytes: int | None = None
    total_bytes: int | None = None

    def usage(self) -> StorageUsage:
        """What is used and free."""
        used = sum(one.size_bytes for one in self.backend.inputs.list())
        return StorageUsage(used, self.free_bytes, self.total_bytes)

    def recount(self) -> None:
        """Nothing: every look counts."""


class MemoryBackend:
    """The `Backend` port in memory. Threads may share it."""

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
            max_receives: How often a request is handed out before it is a dead letter.
            max_body_bytes: The longest message body, in bytes of UTF-8.
            clock: Tells the time in seconds; all time passes by it.
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
        """The same deployment as another process would open it: all shared but the lease."""
        other = MemoryBackend()
        other.__dict__.update(self.__dict__)
        other.lease = self.lease.rival("another controller")
        return other

    def close(self) -> None:
        """Let go of the lease. Idempotent."""
        self.lease.release()
