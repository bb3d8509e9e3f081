"""Estimated costs of a deployment's instances, from the controller's observations.

A terminated instance cannot be queried any more, so the controller records each instance when it
first sees it, and again when it has disappeared. Free instances are not recorded. An instance that
ended while no controller was running is assumed to have ended soon after the last sign of it.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from iraas.core.keys import INSTANCES, LAST_DECISION, SPEND_LIMIT, instance_key, worker_key
from iraas.core.ports import Backend, Instance, Pricing
from iraas.core.records import (
    Budget,
    InstanceRecord,
    decode_budget,
    decode_decision,
    decode_instance,
    decode_worker,
)
from iraas.errors import MessageError, ObjectNotFoundError
from iraas.monitoring.record_cache import RecordCache

FREE = "free"
WORKER = "worker"
END_MARGIN_S = 120.0
"""How long an instance is assumed to have run after the last sign of it: longer than the interval
of heartbeats, than a worker's default idle time and than its machine's shutdown."""


@dataclass(frozen=True, slots=True)
class Spent:
    """An estimate of the costs.

    Attributes:
        usd: US dollars.
        unpriced: Instance types without a price; they count as the most expensive type.
    """

    usd: float
    unpriced: tuple[str, ...] = ()


class CostTracker:
    """Records instances and adds up their costs. Not thread-safe.

    Args:
        backend: The deployment.
        pricing: The prices of instances.
        clock: Returns seconds since the epoch.
    """

    def __init__(self, backend: Backend, pricing: Pricing, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._pricing = pricing
        self._clock = clock
        self._open: dict[str, InstanceRecord] | None = None
        self._seen_at: dict[str, float] = {}
        self._reader = RecordCache(backend.records, INSTANCES, decode_instance, clock)

    def observe(self, instances: Iterable[Instance], *, of_fleet: bool = True) -> None:
        """Record the instances that are new, and those that have ended. Idempotent.

        Args:
            instances: All existing instances of the fleet, or all others.
            of_fleet: Which of the two.

        Raises:
            BackendError: The records store failed.
        """
        if self._open is None:
            self._open = {
                record.instance_id: record
                for record in self._reader.read()
                if record.ended_at is None
            }
        present = _billed(instances)
        for instance_id, instance in present.items():
            self._seen_at[instance_id] = self._clock()
            if instance_id not in self._open:
                self._write(_record_of(instance))
        for instance_id, record in list(self._open.items()):
            if instance_id not in present and (record.role == WORKER) == of_fleet:
                self._write(replace(record, ended_at=self._last_sign(record)))
                self._seen_at.pop(instance_id, None)

    def spent(self, present: Iterable[Instance], since: float = 0.0) -> Spent:
        """Estimate the costs of instances.

        Args:
            present: The instances that exist now, of the fleet and others.
            since: The start of the period that counts, in seconds since the epoch.

        Raises:
            BackendError: The records store failed.
        """
        now = self._clock()
        there = _billed(present)
        records = {record.instance_id: record for record in self._reader.read()}
        for instance_id, instance in there.items():
            records.setdefault(instance_id, _record_of(instance))
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
        """Return why nothing more may be launched; empty while the budget is not exhausted.

        Args:
            present: The instances that exist now, of the fleet and others.

        Raises:
            BackendError: The records store failed.
        """
        budget = get_budget(self._backend)
        if budget is None:
            return ""
        spent_usd = self.spent(present, budget.since).usd
        if spent_usd < budget.usd:
            return ""
        return f"about ${spent_usd:.2f} are spent, which reaches the limit of ${budget.usd:.2f}"

    def _last_sign(self, record: InstanceRecord) -> float:
        """Return when a terminated instance was last seen or sent a heartbeat, plus a margin; a
        controller that noticed its end would have recorded it.
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


def _billed(instances: Iterable[Instance]) -> dict[str, Instance]:
    return {instance.instance_id: instance for instance in instances if instance.pricing != FREE}


def _record_of(instance: Instance) -> InstanceRecord:
    return InstanceRecord(
        instance.instance_id,
        instance.instance_type,
        instance.pricing,
        instance.launched_at,
        role=instance.role,
    )


def set_budget(backend: Backend, usd: float, since: float) -> None:
    """Limit the costs of a deployment: once they are spent, nothing more is launched. Idempotent.

    Args:
        backend: The deployment.
        usd: The limit, in US dollars.
        since: The start of the period that counts, in seconds since the epoch.

    Raises:
        BackendError: The records store failed.
    """
    backend.records.put(SPEND_LIMIT, Budget(usd, since).encode())


def delete_budget(backend: Backend) -> None:
    """Remove the limit on costs. Idempotent."""
    backend.records.delete([SPEND_LIMIT])


def get_budget(backend: Backend) -> Budget | None:
    """Return the limit on costs; None if there is none, or its record is corrupt."""
    try:
        return decode_budget(backend.records.get(SPEND_LIMIT))
    except (ObjectNotFoundError, MessageError):
        return None
