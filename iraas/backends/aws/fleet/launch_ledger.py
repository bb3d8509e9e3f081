"""The ledger of launches: one log a slot, written by conditional writes alone.

A slot's log is a row of objects, ``fleet/<role>/<slot>/<sequence>``. Each is the whole state of the
slot, is never changed, and is written only if nobody wrote that place in the row before. So whoever
writes entry n+1 has read entry n, of any number of controllers one wins, and each slot goes through
one history that all of them agree on::

    (none) -> launching(1) -> occupied(1) -> ended(1) -> launching(2) -> ...
                    |                           ^
                    +---------------------------+   it provably never happened

A generation is one launch: one client token, one type, one subnet, one way to pay. EC2 tells the
same token in another zone from the first, and refuses it with other parameters, so a launch that
was refused and is tried elsewhere is a new generation.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from iraas.backends.aws.fleet.launch_candidates import LaunchOption
from iraas.core.ports import ObjectStore
from iraas.errors import ObjectNotFoundError

SlotState = Literal["launching", "occupied", "ended", "unreadable"]

KEEP_SUPERSEDED_S = 86_400.0
"""How long entries stay after a later one took their place. A controller that was paused for less
than that cannot write into a hole."""


@dataclass(frozen=True, slots=True)
class SlotEntry:
    """What is known of a slot, in one entry of its log.

    Attributes:
        slot: The slot, from 0.
        sequence: Its place in the slot's log, from 1.
        state: ``launching``: a launch may have been sent, its answer is not known. ``occupied``:
            the instance is known. ``ended``: the instance is gone, or was never there.
            ``unreadable``: the entry is mangled; the slot is left alone.
        generation: Which launch of the slot it is, from 1.
        at: When it was written, in seconds since the epoch.
        by: Who wrote it, for people.
        token: The client token under which EC2 launches at most once.
        option: What was asked for.
        sends: How many controllers have sent the request, one after the other.
        instance_id: The instance; empty if it is not known.
        reason: Why it ended, or why the launch before was refused.
    """

    slot: int
    sequence: int
    state: SlotState
    generation: int
    at: float
    by: str
    token: str
    option: LaunchOption
    sends: int = 1
    instance_id: str = ""
    reason: str = ""

    def encode(self) -> bytes:
        """The entry as JSON."""
        return json.dumps(asdict(self)).encode()


_STATES: dict[str, SlotState] = {
    "launching": "launching",
    "occupied": "occupied",
    "ended": "ended",
}
NO_OPTION = LaunchOption(kind="", subnet_id="", pricing="on-demand")


def decode_entry(slot: int, sequence: int, data: bytes) -> SlotEntry:
    """Read an entry; a mangled one gives an ``unreadable`` entry, which keeps its slot closed."""
    try:
        value = json.loads(data)
        option = LaunchOption(**_texts(value["option"], "kind", "subnet_id", "pricing"))
        return SlotEntry(
            slot=slot,
            sequence=sequence,
            state=_STATES[value["state"]],
            generation=int(value["generation"]),
            at=float(value["at"]),
            option=option,
            sends=int(value["sends"]),
            **_texts(value, "by", "token", "instance_id", "reason"),
        )
    except (ValueError, TypeError, KeyError) as exc:
        return SlotEntry(
            slot, sequence, "unreadable", 0, 0.0, "", "", NO_OPTION, reason=f"mangled: {exc!r}"
        )


def _texts(value: Any, *names: str) -> dict[str, Any]:
    fields = {name: value[name] for name in names}
    if not all(isinstance(text, str) for text in fields.values()):
        raise TypeError("a text is missing")
    return fields


class LaunchLedger:
    """The logs of all slots of one role, in an object store.

    May be used by several threads and processes at once. What it raises is what the store raises.
    """

    def __init__(self, store: ObjectStore, role: str) -> None:
        """Open the ledger of a role, such as ``worker``, in the records store."""
        self._store = store
        self._prefix = f"fleet/{role}/"
        self._read: dict[str, SlotEntry] = {}

    def latest(self) -> dict[int, SlotEntry]:
        """The last entry of every slot that was ever used, by slot."""
        last: dict[int, tuple[int, str]] = {}
        for slot, sequence, key in self._keys():
            last[slot] = (sequence, key)
        entries = {slot: self._entry(slot, *place) for slot, place in last.items()}
        # Entries never change: those that are last now are all that is worth remembering.
        self._read = {last[slot][1]: entry for slot, entry in entries.items()}
        return entries

    def epoch(self, proposed: str) -> str:
        """The word that tells this deployment's tokens from those of an earlier one of its name,
        which EC2 remembers for a day: the first that was ever proposed.
        """
        key = f"{self._prefix}epoch"
        self._store.put_if_absent([(key, proposed.encode())])
        return self._store.get(key).decode("ascii", "replace")

    def append(self, entry: SlotEntry) -> bool:
        """Write a slot's next entry; False if somebody else wrote that place first.

        If it raises, the entry may have been written.
        """
        key = self._key(entry.slot, entry.sequence)
        return self._store.put_if_absent([(key, entry.encode())])[0]

    def prune(self, now: float) -> int:
        """Remove entries that were superseded a day ago; tell how many."""
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
            data = b"it was removed while it was read"
        return decode_entry(slot, sequence, data)
