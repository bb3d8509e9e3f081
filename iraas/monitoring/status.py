"""The state of a deployment, rebuilt from its queues, its records and its fleet at each call."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from iraas.core.keys import LAST_DECISION, WORKERS
from iraas.core.ports import Backend, Instance, InstanceState, QueueDepth
from iraas.core.records import ScalingDecision, WorkerRecord, decode_decision, decode_worker
from iraas.errors import MessageError, ObjectNotFoundError
from iraas.monitoring.costs import CostTracker
from iraas.monitoring.record_cache import RecordCache

FRESH_S = 20.0
"""A worker started by hand that said nothing for longer is not counted as being there."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker that is there, or on its way.

    Attributes:
        worker_id: Its id.
        state: ``booting``, ``starting``, ``running``, ``draining`` or ``stopping``.
        age_s: Since its launch, or its start if nobody launched it.
        kind: What it runs on: an instance type, ``process``, or ``by hand``.
        pricing: ``on-demand``, ``spot`` or ``free``.
        done: Outcomes it stored.
        images_per_s: Its rate of late.
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
    """An instance that is no worker's, but costs money.

    Attributes:
        instance_id: Its id.
        role: What it is there for: ``web`` or ``builder``.
        state: ``booting``, ``running`` or ``stopping``.
        age_s: Since its launch.
        kind: Its type.
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
    """A deployment at one moment. Times are seconds since the epoch.

    Attributes:
        deployment: Its name.
        backend: Its backend.
        at: When this was seen.
        queue: The request queue.
        dead_letters: Messages in the dead-letter queue.
        workers: The workers, the oldest first.
        done: Outcomes that workers stored, as they last told of themselves, those included that
            left. What a worker did between its last record and its violent end is missing, and so
            is every outcome that no worker stored: that of an image which the requester refused.
        failed: Failures among them.
        images_per_s: What all workers do together.
        spent_usd: What its instances have cost so far, estimated.
        hour_usd: What an hour of the instances that are there costs.
        per_thousand_usd: What a thousand images have cost so far; None if there are none yet.
        controller: Who acts as the controller; empty if nobody does.
        decision: What the controller decided last; None if it never did.
        machines: The instances that are no workers', the oldest first.
        unpriced: Kinds of instances without a price; they count as the dearest kind.
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
        """The status as a JSON object."""
        return asdict(self)


class StatusCache:
    """What need not be read anew at each look: records of what is gone. Not thread-safe."""

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        """Remember nothing yet of a deployment; `clock` gives seconds since the epoch."""
        self.workers = RecordCache(backend.records, WORKERS, decode_worker, clock)
        self.spend = CostTracker(backend, backend.pricing, clock)


def take_status(
    backend: Backend,
    deployment: str,
    clock: Callable[[], float],
    memory: StatusCache | None = None,
) -> Status:
    """Look at a deployment.

    Args:
        backend: The deployment.
        deployment: Its name.
        clock: Gives seconds since the epoch.
        memory: What earlier looks at it remember; None for a single look.

    Raises:
        BackendError: A part of it could not be asked.
    """
    now = clock()
    memory = memory or StatusCache(backend, clock)
    records = {one.worker_id: one for one in memory.workers.read()}
    instances = {one.instance_id: one for one in backend.fleet.instances()}
    workers = [_in_fleet(one, records.get(name), now) for name, one in instances.items()]
    workers += [
        _manual(record, now)
        for name, record in records.items()
        if name not in instances and _is_there(record, now)
    ]
    others = backend.fleet.others()
    billed = [*instances.values(), *others]
    spent = memory.spend.spent(billed)
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
    """Whether a worker outside the fleet is there. One of the fleet that is not in it is gone."""
    has_left = record.state in {"gone", "broken"}
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


def _machine(one: Instance, now: float) -> MachineStatus:
    return MachineStatus(
        instance_id=one.instance_id,
        role=one.role,
        state=one.state.value,
        age_s=round(max(0.0, now - one.launched_at), 1),
        kind=one.instance_type,
        pricing=one.pricing,
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
    """What the controller decided last, if it ever did."""
    try:
        return decode_decision(backend.records.get(LAST_DECISION))
    except (ObjectNotFoundError, MessageError):
        return None
