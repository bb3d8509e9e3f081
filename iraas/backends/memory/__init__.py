"""The memory backend: every port in one process, for tests.

It keeps the promises of the other backends, as the contract suite shows, except that nothing
outlives the process. The clock is an argument; `MemoryFleet.available_capacity` simulates a fault.
"""

from iraas.backends.memory.backend import MemoryBackend, MemoryProvisioning
from iraas.backends.memory.fleet import MemoryFleet, MemoryLease
from iraas.backends.memory.queue import MemoryQueue, MemoryResponseQueues
from iraas.backends.memory.store import MemoryStore

__all__ = [
    "MemoryBackend",
    "MemoryFleet",
    "MemoryLease",
    "MemoryProvisioning",
    "MemoryQueue",
    "MemoryResponseQueues",
    "MemoryStore",
]
