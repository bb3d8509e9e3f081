"""What a deployment has spent on its instances: an estimate, from what the controller saw.

An instance that is gone cannot be asked any more, so the controller writes each down when it first
sees it and again when it no longer does. Instances that cost nothing are not written down.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from iraas.core.keys import INSTANCES, SPEND_LIMIT, instance_key
from iraas.core.ports import Backend, Instance, Pricing
from iraas.core.records import (
    InstanceRecord,
    SpendLimit,
    decode_instance,
    decode_spend_limit,
)
from iraas.errors import MessageError, ObjectNotFoundError

FREE = "free"


class SpendLedger:
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

    def observe(self, instances: Sequence[Instance]) -> None:
        """Write down the instances that are new, and those that have ended. Idempotent."""
        if self._open is None:
            self._open = {one.instance_id: one for one in self._records() if one.ended_at is None}
        present = {one.instance_id for one in instances}
        for one in instances:
            if one.pricing != FREE and one.instance_id not in self._open:
                self._write(InstanceRecord(one.instance_id, one.kind, one.pricing, one.launched_at))
        for instance_id in self._open.keys() - present:
            self._write(replace(self._open[instance_id], ended_at=self._clock()))

    def spent_usd(self, since: float = 0.0) -> float:
        """Dollars spent on instances since a moment, in seconds since the epoch."""
        now = self._clock()
        return sum(
            self._pricing.cost_usd(one.kind, one.pricing, seconds)
            for one in self._records()
            if (seconds := (one.ended_at or now) - max(one.launched_at, since)) > 0
        )

    def is_exhausted(self) -> str:
        """Why nothing more is to be launched, if a limit on spending has been reached."""
        limit = spend_limit(self._backend)
        if limit is None:
            return ""
        spent = self.spent_usd(limit.since)
        if spent < limit.usd:
            return ""
        return f"about ${spent:.2f} are spent, which reaches the limit of ${limit.usd:.2f}"

    def _records(self) -> Iterator[InstanceRecord]:
        for one in self._backend.records.list(INSTANCES):
            try:
                yield decode_instance(self._backend.records.get(one.key))
            except (ObjectNotFoundError, MessageError):
                continue

    def _write(self, record: InstanceRecord) -> None:
        assert self._open is not None
        self._backend.records.put(instance_key(record.instance_id), record.encode())
        if record.ended_at is None:
            self._open[record.instance_id] = record
        else:
            del self._open[record.instance_id]


def limit_spending(backend: Backend, usd: float, since: float) -> None:
    """Have the deployment launch nothing more once so much is spent since a moment."""
    backend.records.put(SPEND_LIMIT, SpendLimit(usd, since).encode())


def lift_spend_limit(backend: Backend) -> None:
    """Let the deployment spend again. Idempotent."""
    backend.records.delete([SPEND_LIMIT])


def spend_limit(backend: Backend) -> SpendLimit | None:
    """The limit on spending, if there is one."""
    try:
        return decode_spend_limit(backend.records.get(SPEND_LIMIT))
    except (ObjectNotFoundError, MessageError):
        return None
