"""The memory backend: every port inside one process, for tests and for the simulation.

It keeps the same promises as the others, as the contract suite shows, except that nothing outlives
the process. Clocks are passed in; faults are made by telling it (`MemoryFleet.room`).
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
