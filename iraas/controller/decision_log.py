"""The controller's decisions on record: the last one, and those that changed something."""

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
    """Writes decisions down, each once. Not thread-safe.

    Args:
        records: The records store.
        note_s: How often the same decision is written down again.
        recount_s: How often it is if only the counts that led to it changed.
    """

    def __init__(self, records: ObjectStore, *, note_s: float, recount_s: float) -> None:
        self._records = records
        self._note_s = note_s
        self._recount_s = recount_s
        self._last: ScalingDecision | None = None

    def note(self, record: ScalingDecision) -> None:
        """Write a decision down if it says something new."""
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

    def note_trouble(self, reason: str, at: float) -> None:
        """Let the last decision say why there is no newer one."""
        if self._last is None:
            return
        self._last = replace(self._last, at=at, launched=0, reason=reason)
        with suppress(IraasError):
            self._records.put(LAST_DECISION, self._last.encode())


def _decided(record: ScalingDecision) -> tuple[object, ...]:
    """What a decision comes to; the counts that it mentions on the way left out."""
    return record.wanted, record.launched, tuple(record.removed), record.booting, record.running
