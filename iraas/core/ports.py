"""What the services need of a backend, as small protocols. Their docstrings are the contract.

One suite, ``tests/contract``, holds every adapter to them: memory, local and aws.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from iraas.core.outcomes import Prediction

MAX_BATCH = 10
"""Messages in one receive, at most (the limit of SQS); send, delete, extend and release take any
number and split it themselves."""


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """A message to send.

    Attributes:
        body: Text; its UTF-8 form is at most the queue's `max_body_bytes` long.
        group: Whose message it is (a job's id). Groups share a queue fairly: a small one does not
            wait behind the whole of a large one. Empty for none.
        delay_s: Seconds before it may be received, 0..900.
        note: A remark for people, up to 1,024 characters: why a message is a dead letter.
    """

    body: str
    group: str = ""
    delay_s: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message under lease.

    Attributes:
        body: The text as it was sent.
        receipt: This receive's handle: another receive of the same message has another one.
        receive_count: How often it has been received, this time included; at least 1.
        note: The sender's remark.
    """

    body: str
    receipt: str
    receive_count: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many messages a queue holds. The counts of a distributed queue may lag by a minute.

    Attributes:
        visible: May be received now.
        in_flight: Under lease.
        delayed: Sent with a delay that is not over.
    """

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.visible + self.in_flight + self.delayed


class Queue(Protocol):
    """Messages, delivered at least once, in no promised order.

    A message is received under a lease. Until the lease ends nobody else receives it; then it is
    visible again, unless it was deleted. A queue with a dead-letter queue moves a message there,
    its note unchanged, instead of handing it out once more than its `max_receives` times. Methods
    may be called from several threads and processes at once. All but `receive` are idempotent.

    Raises (all methods):
        QueueNotFoundError: The queue does not exist, or no longer.
        BackendUnavailableError: It failed for now; adapters have retried, with a bound.
    """

    @property
    def max_body_bytes(self) -> int:
        """The longest body, in bytes of UTF-8."""
        ...

    def send(self, messages: Sequence[OutboundMessage]) -> None:
        """Send messages; when this returns, all are stored durably.

        If it raises, some may have been sent: send all again, receivers stand duplicates.

        Raises:
            MessageTooLargeError: A body is over `max_body_bytes`; nothing was sent.
        """
        ...

    def receive(
        self, max_messages: int, *, lease_s: float, wait_s: float = 0.0
    ) -> list[ReceivedMessage]:
        """Receive up to that many messages (1..`MAX_BATCH`) and hide them for `lease_s` seconds.

        Waits up to `wait_s` seconds (0..20) for the first one, without spinning. An empty answer
        does not prove an empty queue.
        """
        ...

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages for good. A stale receipt (its lease ended and somebody else received
        the message) deletes nothing, silently.
        """
        ...

    def extend(self, receipts: Sequence[str], lease_s: float) -> None:
        """Let leases end `lease_s` seconds (up to 43,200) from now. A stale receipt extends
        nothing, silently.
        """
        ...

    def release(self, receipts: Sequence[str]) -> None:
        """End leases now: the messages are visible again. A stale receipt releases nothing."""
        ...

    def depth(self) -> QueueDepth:
        """Count the messages."""
        ...


class ResponseQueues(Protocol):
    """The response queues, one a requester, so that nobody takes another's answers.

    A requester's id is a plain name (`iraas.core.ids.is_plain_name`) of its own making.
    """

    def create(self, requester_id: str) -> Queue:
        """Make a requester's queue, or find the one that is there. Idempotent."""
        ...

    def find(self, requester_id: str) -> Queue:
        """The queue of a requester of this deployment, for a worker that replies. Never makes one:
        its methods raise QueueNotFoundError if there is none.
        """
        ...

    def delete(self, requester_id: str) -> None:
        """Remove a requester's queue with all in it. Idempotent."""
        ...

    def sweep(self, unused_s: float) -> list[str]:
        """Remove the queues of requesters that showed no life for so long; give back whose."""
        ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a listing tells of an object. `modified_at` is in seconds since the epoch."""

    key: str
    size_bytes: int
    modified_at: float


class ObjectStore(Protocol):
    """Named blobs. What was stored is read back whole or not at all, never half written.

    Keys satisfy `iraas.core.keys.check_key`; any other raises ValueError. Methods may be called
    from several threads and processes at once.

    Raises (all methods):
        BackendUnavailableError: It failed for now; adapters have retried, with a bound.
    """

    def put(self, key: str, data: bytes) -> None:
        """Store an object, replacing the one under that key. Durable when it returns. Of two
        writers at once, one wins whole.
        """
        ...

    def put_if_absent(self, objects: Sequence[tuple[str, bytes]]) -> list[bool]:
        """Store each object unless one is there under its key; tell which were stored.

        Of any number of writers of one key at once exactly one is told True. All are durable when
        it returns, those that were found included. If it raises, some may have been stored.
        """
        ...

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            ObjectNotFoundError: There is none under that key.
        """
        ...

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """List the objects whose key starts with a prefix, sorted by key, those after a key only.

        A prefix is empty or ends with ``/``. Lazy: pages are read as they are asked for, and
        memory does not grow with the number of objects. Objects stored or removed meanwhile may
        be listed or not.
        """
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects. Idempotent: a key with nothing under it is no error."""
        ...


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
    """

    instance_id: str
    state: InstanceState
    launched_at: float
    kind: str
    pricing: str = "free"


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
        """Launch instances into free slots, up to that many. Does not wait for their workers."""
        ...

    def instances(self) -> list[Instance]:
        """The instances that exist, those included that are still booting or stopping."""
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


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that a deployment is made of.

    Attributes:
        kind: What it is: ``queue``, ``bucket``, ``folder``, ``instance`` …
        name: Its name.
        exists: Whether it is there now.
        detail: What else a person may want to know: its size, its cost.
    """

    kind: str
    name: str
    exists: bool
    detail: str = ""


class Pricing(Protocol):
    """What instances cost, as far as can be estimated."""

    def hour_usd(self, kind: str, pricing: str) -> float:
        """Dollars for an hour of an instance; 0 if its kind has no price."""
        ...

    def cost_usd(self, kind: str, pricing: str, seconds: float) -> float:
        """Dollars for an instance that ran so long, by the rules of the bill."""
        ...


class FreeOfCharge:
    """The `Pricing` of what costs nothing."""

    def hour_usd(self, kind: str, pricing: str) -> float:  # noqa: ARG002 - the port's
        """Nothing."""
        return 0.0

    def cost_usd(self, kind: str, pricing: str, seconds: float) -> float:  # noqa: ARG002 - the port's
        """Nothing."""
        return 0.0


class Stack(Protocol):
    """A deployment's resources, made and removed as a whole; found by name and tag, never by a
    state file.
    """

    def plan(self) -> list[Resource]:
        """What a deployment is made of, there or not."""
        ...

    def provision(self) -> None:
        """Make what is missing. Idempotent; after a failure, call it again."""
        ...

    def teardown(self, *, keep_data: bool = False) -> None:
        """End all workers, then remove everything of the deployment, the stores too unless
        `keep_data`. Never touches what it did not make. Idempotent.
        """
        ...


class Backend(Protocol):
    """A deployment on one backend, ready to use. Opening one makes no call yet."""

    @property
    def name(self) -> str:
        """``local``, ``aws`` or ``memory``."""
        ...

    @property
    def requests(self) -> Queue:
        """The request queue."""
        ...

    @property
    def dead_letters(self) -> Queue:
        """The dead-letter queue."""
        ...

    @property
    def responses(self) -> ResponseQueues:
        """The response queues."""
        ...

    @property
    def inputs(self) -> ObjectStore:
        """The input store."""
        ...

    @property
    def outputs(self) -> ObjectStore:
        """The output store: outcomes and nothing else."""
        ...

    @property
    def records(self) -> ObjectStore:
        """Jobs, manifests, workers' records and decisions."""
        ...

    @property
    def fleet(self) -> Fleet:
        """The fleet."""
        ...

    @property
    def lease(self) -> ControllerLease:
        """The controller's lease."""
        ...

    @property
    def stack(self) -> Stack:
        """The resources as a whole."""
        ...

    @property
    def pricing(self) -> Pricing:
        """What its instances cost."""
        ...

    def close(self) -> None:
        """Let go of connections and files. Idempotent."""
        ...


PreparedImage = Any
"""A decoded and preprocessed image, in the form that its classifier likes best."""


class Classifier(Protocol):
    """A model in memory. One thread prepares and infers at a time."""

    @property
    def model_id(self) -> str:
        """The bundle, as ``name@`` and the first eight digits of its hash."""
        ...

    @property
    def batch_size(self) -> int:
        """How many images `infer` takes best at once."""
        ...

    def prepare(self, data: bytes) -> PreparedImage:
        """Decode and preprocess an image's bytes.

        Raises:
            ImageError: It cannot be classified; the text says why.
        """
        ...

    def infer(self, batch: Sequence[PreparedImage]) -> list[Prediction]:
        """Classify prepared images, at least one; the predictions come in the same order."""
        ...
