"""The ports: small protocols between the services and a backend. Their docstrings are the contract.

One suite, ``tests/contract``, checks every adapter against them: memory, local and aws.
"""

from iraas.core.ports.backend import Backend, Provisioning, Resource
from iraas.core.ports.classifiers import Classifier
from iraas.core.ports.fleets import (
    ControllerLease,
    Fleet,
    Instance,
    InstanceState,
    Launch,
    NoCost,
    Pricing,
)
from iraas.core.ports.queues import (
    MAX_BATCH,
    OutboundMessage,
    Queue,
    QueueDepth,
    ReceivedMessage,
    ResponseQueues,
)
from iraas.core.ports.stores import (
    ObjectStore,
    Storage,
    StorageUsage,
    StoredObject,
    UncountedStorage,
)

__all__ = [
    "MAX_BATCH",
    "Backend",
    "Classifier",
    "ControllerLease",
    "Fleet",
    "Instance",
    "InstanceState",
    "Launch",
    "NoCost",
    "ObjectStore",
    "OutboundMessage",
    "Pricing",
    "Provisioning",
    "Queue",
    "QueueDepth",
    "ReceivedMessage",
    "Resource",
    "ResponseQueues",
    "Storage",
    "StorageUsage",
    "StoredObject",
    "UncountedStorage",
]
