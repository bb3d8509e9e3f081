"""The status of a deployment, rebuilt from its queues, records and fleet at each call."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from iraas.core.keys import LAST_DECISION, WORKERS
from iraas.core.ports import Backend, Instance, InstanceState, QueueDepth
from iraas.core.records import (
    FAILED,
    STOPPED,
    ScalingDecision,
    WorkerRecord,
    decode_decision,
    decode_worker,
)
from iraas.errors import MessageError, ObjectNotFoundError
from iraas.monitoring.costs import CostTracker
from iraas.monitoring.record_cache import RecordCache

FRESH_S = 20.0
"""A manually started worker without a heartbeat for longer is not counted."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker that is running or booting.

    Attributes:
        worker_id: Its id.
        state: ``booting``, ``starting``, ``running``, ``draining`` or ``stopping``.
        age_s: Seconds since its launch, or since its start if it was started manually.
        kind: Its instance type, ``process``, or ``by hand``.
        pricing: ``on-demand``, ``spot`` or ``free``.
        done: Outcomes that it stored.
        images_per_s: Its recent throughput.
    """

    worker_id: str
    state: str
    age_s: float
    kind: str
    pricing: str
    done: int
    images_per_s: float


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """An instance that runs no worker, but costs money.

    Attributes:
        instance_id: Its id.
        role: Its purpose: ``web`` or ``builder``.
        state: ``booting``, ``running`` or ``stopping``.
        age_s: Seconds since its launch.
        kind: Its instance type.
        pricing: ``on-demand``, ``spot`` or ``free``.
    """

    instance_id: str
    role: str
    state: str
    age_s: float
    kind: str
    pricing: str


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a deployment at one time. Times are seconds since the epoch.

    Attributes:
        deployment: Its name.
        backend: Its backend.
        at: The time of this status.
        queue: The request queue's depth.
        dead_letters: Messages in the dead-letter queue.
        workers: The workers, oldest first.
        done: Outcomes that workers stored, by their last heartbeats, exited workers included.
            Outcomes between a worker's last heartbeat and a crash are missing, and so are those
            that no worker stored: images that the requester refused.
        failed: Failures among them.
        images_per_s: The throughput of all workers together.
        spent_usd: The estimated costs of its instances so far.
        hour_usd: The price of the existing instances per hour.
        per_thousand_usd: The cost of a thousand images so far; None if there are none yet.
        controller: The holder of the controller's lease; empty if nobody holds it.
        decision: The controller's last decision; None if there is none.
        machines: The instances that run no worker, oldest first.
        unpriced: Instance types without a price; they count as the most expensive type.
    """

    deployment: str
    backend: str
    at: float
    queue: QueueDepth
    dead_letters: int
    workers: tuple[WorkerStatus, ...]
    done: int
    failed: int
    images_per_s: float
    spent_usd: float
    hour_usd: float
    per_thousand_usd: float | None
    controller: str
    decision: ScalingDecision | None
    machines: tuple[MachineStatus, ...] = ()
    unpriced: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Convert to a JSON object."""
        return asdict(self)


class StatusCache:
    """The state that `take_status` reuses between calls: cached records. Not thread-safe.

    Args:
        backend: The deployment.
        clock: Returns seconds since the epoch.
    """

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self.workers = RecordCache(backend.records, WORKERS, decode_worker, clock)
        self.costs = CostTracker(backend, backend.pricing, clock)


def take_status(
    backend: Backend,
    deployment: str,
    clock: Callable[[], float],
    cache: StatusCache | None = None,
) -> Status:
    """Query the status of a deployment.

    Args:
        backend: The deployment.
        deployment: Its name.
        clock: Returns seconds since the epoch.
        cache: Reused between calls to read fewer records; None for a single call.

    Raises:
        BackendError: A part of the deployment could not be queried.
    """
    now = clock()
    cache = cache or StatusCache(backend, clock)
    records = {record.worker_id: record for record in cache.workers.read()}
    instances = {instance.instance_id: instance for instance in backend.fleet.instances()}
    workers = [_in_fleet(one, records.get(name), now) for name, one in instances.items()]
    workers += [
        _manual(record, now)
        for name, record in records.items()
        if name not in instances and _is_there(record, now)
    ]
    others = backend.fleet.non_worker_instances()
    billed = [*instances.values(), *others]
    spent = cache.costs.spent(billed)
    done = sum(record.done for record in records.values())
    return Status(
        deployment=deployment,
        backend=backend.name,
        at=now,
        queue=backend.requests.depth(),
        dead_letters=backend.dead_letters.depth().total,
        workers=tuple(sorted(workers, key=lambda one: -one.age_s)),
        done=done,
        failed=sum(record.failed for record in records.values()),
        images_per_s=round(sum(one.images_per_s for one in workers), 2),
        spent_usd=round(spent.usd, 4),
        hour_usd=sum(backend.pricing.hour_usd(one.instance_type, one.pricing) for one in billed),
        per_thousand_usd=round(1000 * spent.usd / done, 4) if done else None,
        controller=backend.lease.holder(),
        decision=last_decision(backend),
        machines=tuple(_machine(one, now) for one in sorted(others, key=lambda o: o.launched_at)),
        unpriced=spent.unpriced,
    )


def _is_there(record: WorkerRecord, now: float) -> bool:
    """Return whether a worker that is not in the fleet is running: only a manual one can be."""
    has_left = record.state in {STOPPED, FAILED}
    return record.manual and not has_left and now - record.beat_at < FRESH_S


def _in_fleet(instance: Instance, record: WorkerRecord | None, now: float) -> WorkerStatus:
    state = instance.state.value
    if instance.state is not InstanceState.STOPPING:
        state = record.state if record else InstanceState.BOOTING.value
    return WorkerStatus(
        worker_id=instance.instance_id,
        state=state,
        age_s=round(max(0.0, now - instance.launched_at), 1),
        kind=instance.instance_type,
        pricing=instance.pricing,
        done=record.done if record else 0,
        images_per_s=record.images_per_s if record else 0.0,
    )


def _machine(instance: Instance, now: float) -> MachineStatus:
    return MachineStatus(
        instance_id=instance.instance_id,
        role=instance.role,
        state=instance.state.value,
        age_s=round(max(0.0, now - instance.launched_at), 1),
        kind=instance.instance_type,
        pricing=instance.pricing,
    )


def _manual(record: WorkerRecord, now: float) -> WorkerStatus:
    return WorkerStatus(
        worker_id=record.worker_id,
        state=record.state,
        age_s=round(max(0.0, now - record.started_at), 1),
        kind="by hand",
        pricing="free",
        done=record.done,
        images_per_s=record.images_per_s,
    )


def last_decision(backend: Backend) -> ScalingDecision | None:
    """Return the controller's last decision; None if there is none, or its record is corrupt."""
    try:
        return decode_decision(backend.records.get(LAST_DECISION))
    except (ObjectNotFoundError, MessageError):
        return None
