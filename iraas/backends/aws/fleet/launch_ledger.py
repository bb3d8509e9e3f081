"""The launch ledger: one append-only log per slot, written conditionally only.

A slot's log is a sequence of objects, ``fleet/<role>/<slot>/<sequence>``. Each holds the complete
state of the slot, is immutable, and is written only if no object of that sequence number exists. So
the writer of entry n+1 has read entry n, one of several controllers wins, and all of them agree on
one history per slot::

    (none) -> launching(1) -> occupied(1) -> ended(1) -> launching(2) -> ...
                    |                           ^
                    +---------------------------+   provably never happened

A generation is one launch: one client token, instance type, subnet and pricing. EC2 treats the same
token in another zone as a new one, and rejects it with other parameters, so a rejected launch that
is tried elsewhere is a new generation.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from iraas.backends.aws.fleet.launch_candidates import LaunchCandidate
from iraas.core.ports import ObjectStore
from iraas.errors import ObjectNotFoundError

SlotState = Literal["launching", "occupied", "ended", "unreadable"]

KEEP_SUPERSEDED_S = 86_400.0
"""Retention of superseded entries. A controller paused for less than this cannot write into a
gap."""


@dataclass(frozen=True, slots=True)
class SlotEntry:
    """State of a slot, as one entry of its log.

    Attributes:
        slot: The slot, from 0.
        sequence: Position in the slot's log, from 1.
        state: ``launching``: a launch may have been sent, its result is unknown. ``occupied``: the
            instance is known. ``ended``: the instance is gone, or never existed. ``unreadable``:
            the entry is corrupt; the slot is left alone.
        generation: Number of the slot's launch, from 1.
        at: Time of writing, in seconds since the epoch.
        by: The writer's id, for display.
        token: The client token under which EC2 launches at most once.
        candidate: The requested instance type, subnet and pricing.
        sends: Number of controllers that have sent the request.
        instance_id: The instance; empty if unknown.
        reason: Why it ended, or why the previous launch was rejected.
    """

    slot: int
    sequence: int
    state: SlotState
    generation: int
    at: float
    by: str
    token: str
    candidate: LaunchCandidate
    sends: int = 1
    instance_id: str = ""
    reason: str = ""

    def encode(self) -> bytes:
        """The entry as JSON."""
        value = asdict(self)
        candidate = value.pop("candidate")
        candidate["kind"] = candidate.pop("instance_type")  # the stored name of this field
        return json.dumps(value | {"option": candidate}).encode()


_STATES: dict[str, SlotState] = {
    "launching": "launching",
    "occupied": "occupied",
    "ended": "ended",
}
NO_CANDIDATE = LaunchCandidate(instance_type="", subnet_id="", pricing="on-demand")


def decode_entry(slot: int, sequence: int, data: bytes) -> SlotEntry:
    """Parse an entry; a corrupt one gives an ``unreadable`` entry, which keeps its slot closed.

    Args:
        slot: The slot, from its key.
        sequence: The sequence number, from its key.
        data: The stored JSON.
    """
    try:
        value = json.loads(data)
        option = _texts(value["option"], "kind", "subnet_id", "pricing")
        candidate = LaunchCandidate(option["kind"], option["subnet_id"], option["pricing"])
        return SlotEntry(
            slot=slot,
            sequence=sequence,
            state=_STATES[value["state"]],
            generation=int(value["generation"]),
            at=float(value["at"]),
            candidate=candidate,
            sends=int(value["sends"]),
            **_texts(value, "by", "token", "instance_id", "reason"),
        )
    except (ValueError, TypeError, KeyError) as exc:
        return SlotEntry(
            slot, sequence, "unreadable", 0, 0.0, "", "", NO_CANDIDATE, reason=f"corrupt: {exc!r}"
        )


def _texts(value: Any, *names: str) -> dict[str, Any]:
    fields = {name: value[name] for name in names}
    if not all(isinstance(text, str) for text in fields.values()):
        raise TypeError("a text field is missing")
    return fields


class LaunchLedger:
    """The logs of all slots of one role, in an object store.

    Safe for concurrent use by several threads and processes. Raises the store's errors.
    """

    def __init__(self, store: ObjectStore, role: str) -> None:
        """Open a role's ledger.

        Args:
            store: The records store.
            role: The role, such as ``worker``.
        """
        self._store = store
        self._prefix = f"fleet/{role}/"
        self._read: dict[str, SlotEntry] = {}

    def latest(self) -> dict[int, SlotEntry]:
        """Return the last entry of every slot that was ever used, by slot."""
        last: dict[int, tuple[int, str]] = {}
        for slot, sequence, key in self._keys():
            last[slot] = (sequence, key)
        entries = {slot: self._entry(slot, *newest) for slot, newest in last.items()}
        # Entries are immutable: only the last one of each slot needs to be cached.
        self._read = {last[slot][1]: entry for slot, entry in entries.items()}
        return entries

    def epoch(self, proposed: str) -> str:
        """Return the ledger's epoch: the first value that was ever proposed.

        It distinguishes this deployment's client tokens from those of an earlier deployment of the
        same name, which EC2 remembers for a day.
        """
        key = f"{self._prefix}epoch"
        self._store.put_if_absent([(key, proposed.encode())])
        return self._store.get(key).decode("ascii", "replace")

    def append(self, entry: SlotEntry) -> bool:
        """Write a slot's next entry; return False if another controller wrote that sequence number
        first.

        If it raises, the entry may have been written.
        """
        key = self._key(entry.slot, entry.sequence)
        return self._store.put_if_absent([(key, entry.encode())])[0]

    def prune(self, now: float) -> int:
        """Delete entries that were superseded a day ago; return their number."""
        superseded: list[str] = []
        before: tuple[int, str] | None = None
        for slot, _, key, modified_at in self._objects():
            if before and before[0] == slot and modified_at < now - KEEP_SUPERSEDED_S:
                superseded.append(before[1])
            before = (slot, key)
        if superseded:
            self._store.delete(superseded)
        return len(superseded)

    def _key(self, slot: int, sequence: int) -> str:
        return f"{self._prefix}{slot:02d}/{sequence:010d}"

    def _objects(self) -> Iterator[tuple[int, int, str, float]]:
        for found in self._store.list(self._prefix):
            slot, _, sequence = found.key.removeprefix(self._prefix).partition("/")
            if slot.isdecimal() and sequence.isdecimal():
                yield int(slot), int(sequence), found.key, found.modified_at

    def _keys(self) -> Iterator[tuple[int, int, str]]:
        for slot, sequence, key, _ in self._objects():
            yield slot, sequence, key

    def _entry(self, slot: int, sequence: int, key: str) -> SlotEntry:
        known = self._read.get(key)
        if known is not None:
            return known
        try:
            data = self._store.get(key)
        except ObjectNotFoundError:
            data = b"removed while being read"
        return decode_entry(slot, sequence, data)
