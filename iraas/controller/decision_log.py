"""The log of the controller's decisions: the last one, and those that changed something."""

import json
import logging
from contextlib import suppress
from dataclasses import asdict, replace

from iraas.core.ids import new_ulid
from iraas.core.keys import DECISIONS, LAST_DECISION
from iraas.core.ports import ObjectStore
from iraas.core.records import ScalingDecision
from iraas.errors import IraasError

log = logging.getLogger(__name__)


class DecisionLog:
    """Records decisions, without duplicates. Not thread-safe.

    Args:
        records: The records store.
        note_s: How often an unchanged decision is recorded again, in seconds.
        recount_s: How often it is recorded if only the counts behind it changed, in seconds.
    """

    def __init__(self, records: ObjectStore, *, note_s: float, recount_s: float) -> None:
        self._records = records
        self._note_s = note_s
        self._recount_s = recount_s
        self._last: ScalingDecision | None = None

    def record(self, record: ScalingDecision) -> None:
        """Record a decision if it is new or the last record is too old.

        Raises:
            BackendError: The records store failed.
        """
        last = self._last
        is_new = last is None or _decided(record) != _decided(last)
        if last is not None and not is_new:
            same = replace(record, at=last.at) == last
            if record.at - last.at < (self._note_s if same else self._recount_s):
                return
        self._last = record
        self._records.put(LAST_DECISION, record.encode())
        if is_new:
            self._records.put(f"{DECISIONS}{new_ulid(record.at)}.json", record.encode())
            log.info("%s", json.dumps(asdict(record)))

    def record_error(self, reason: str, at: float) -> None:
        """Record in the last decision why there is no newer one. Errors are suppressed.

        Args:
            reason: What failed.
            at: Seconds since the epoch.
        """
        if self._last is None:
            return
        self._last = replace(self._last, at=at, launched=0, reason=reason)
        with suppress(IraasError):
            self._records.put(LAST_DECISION, self._last.encode())


def _decided(record: ScalingDecision) -> tuple[object, ...]:
    """Return the significant fields of a decision, without the counts behind it."""
    return record.wanted, record.launched, tuple(record.removed), record.booting, record.running
