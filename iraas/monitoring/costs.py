"""What a deployment has spent on its instances: an estimate, from what the controller saw.

An instance that is gone cannot be asked any more, so the controller writes each down when it first
sees it and again when it no longer does. Instances that cost nothing are not written down. One that
ended while no controller looked is taken to have ended soon after the last sign of it.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from iraas.core.keys import INSTANCES, LAST_DECISION, SPEND_LIMIT, instance_key, worker_key
from iraas.core.ports import Backend, Instance, Pricing
from iraas.core.records import (
    Budget,
    InstanceRecord,
    decode_decision,
    decode_instance,
    decode_spend_limit,
    decode_worker,
)
from iraas.errors import MessageError, ObjectNotFoundError
from iraas.monitoring.record_cache import RecordCache

FREE = "free"
WORKER = "worker"
END_MARGIN_S = 120.0
"""How long after its last sign an instance is taken to have been there: a worker beats more often,
its grace and its machine's shutdown are shorter."""


@dataclass(frozen=True, slots=True)
class Spent:
    """An estimate of what was spent.

    Attributes:
        usd: Dollars.
        unpriced: Kinds of instances among them that have no price; they count as the dearest kind.
    """

    usd: float
    unpriced: tuple[str, ...] = ()


class CostTracker:
    """Writes instances down and adds up what they cost. Not thread-safe.

    Args:
        backend: The deployment.
        pricing: What instances cost.
        clock: Gives seconds since the epoch.
    """

    def __init__(self, backend: Backend, pricing: Pricing, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._pricing = pricing
        self._clock = clock
        self._open: dict[str, InstanceRecord] | None = None
        self._seen_at: dict[str, float] = {}
        self._reader = RecordCache(backend.records, INSTANCES, decode_instance, clock)

    def observe(self, instances: Iterable[Instance], *, of_fleet: bool = True) -> None:
        """Write down the instances that are new, and those that have ended. Idempotent.

        Args:
            instances: All that there are of the fleet, or all others.
            of_fleet: Which of the two.
        """
        if self._open is None:
            self._open = {
                one.instance_id: one for one in self._reader.read() if one.ended_at is None
            }
        present = {one.instance_id: one for one in instances if one.pricing != FREE}
        for instance_id, one in present.items():
            self._seen_at[instance_id] = self._clock()
            if instance_id not in self._open:
                self._write(_record_of(one))
        for instance_id, record in list(self._open.items()):
            if instance_id not in present and (record.role == WORKER) == of_fleet:
                self._write(replace(record, ended_at=self._last_sign(record)))
                self._seen_at.pop(instance_id, None)

    def spent(self, present: Iterable[Instance], since: float = 0.0) -> Spent:
        """What was spent on instances.

        Args:
            present: Those that are there now, of the fleet and others.
            since: The moment from which on it counts, in seconds since the epoch.
        """
        now = self._clock()
        there = {one.instance_id: one for one in present if one.pricing != FREE}
        records = {one.instance_id: one for one in self._reader.read()}
        for instance_id, one in there.items():
            records.setdefault(instance_id, _record_of(one))
        usd, unpriced = 0.0, set()
        for instance_id, record in records.items():
            ended_at = record.ended_at
            if ended_at is None:
                ended_at = now if instance_id in there else self._last_sign(record)
            seconds = ended_at - max(record.launched_at, since)
            if seconds > 0:
                usd += self._pricing.cost_usd(record.kind, record.pricing, seconds)
                if not self._pricing.has_price(record.kind):
                    unpriced.add(record.kind)
        return Spent(usd, tuple(sorted(unpriced)))

    def is_exhausted(self, present: Iterable[Instance]) -> str:
        """Why nothing more is to be launched, if a limit on spending has been reached.

        Args:
            present: The instances that are there now.
        """
        limit = spend_limit(self._backend)
        if limit is None:
            return ""
        spent_usd = self.spent(present, limit.since).usd
        if spent_usd < limit.usd:
            return ""
        return f"about ${spent_usd:.2f} are spent, which reaches the limit of ${limit.usd:.2f}"

    def _last_sign(self, record: InstanceRecord) -> float:
        """When an instance that is gone was last heard of, or seen by a controller, and a margin:
        a controller that saw it missing would have written that down.
        """
        signs = [record.launched_at, self._seen_at.get(record.instance_id, 0.0)]
        with suppress(ObjectNotFoundError, MessageError):
            signs.append(decode_decision(self._backend.records.get(LAST_DECISION)).at)
        with suppress(ObjectNotFoundError, MessageError):
            data = self._backend.records.get(worker_key(record.instance_id))
            signs.append(decode_worker(data).beat_at)
        return min(self._clock(), max(signs) + END_MARGIN_S)

    def _write(self, record: InstanceRecord) -> None:
        assert self._open is not None
        self._backend.records.put(instance_key(record.instance_id), record.encode())
        if record.ended_at is None:
            self._open[record.instance_id] = record
        else:
            del self._open[record.instance_id]


def _record_of(one: Instance) -> InstanceRecord:
    return InstanceRecord(
        one.instance_id, one.instance_type, one.pricing, one.launched_at, role=one.role
    )


def limit_spending(backend: Backend, usd: float, since: float) -> None:
    """Have the deployment launch nothing more once so much is spent since a moment."""
    backend.records.put(SPEND_LIMIT, Budget(usd, since).encode())


def lift_spend_limit(backend: Backend) -> None:
    """Let the deployment spend again. Idempotent."""
    backend.records.delete([SPEND_LIMIT])


def spend_limit(backend: Backend) -> Budget | None:
    """The limit on spending, if there is one."""
    try:
        return decode_spend_limit(backend.records.get(SPEND_LIMIT))
    except (ObjectNotFoundError, MessageError):
        return None
