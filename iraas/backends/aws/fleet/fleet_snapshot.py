"""Snapshot of slots and instances: the ledger merged with EC2's delayed listing."""

from dataclasses import dataclass, field

from iraas.backends.aws.fleet.ec2_instances import (
    Ec2Client,
    ListedInstance,
    find_instances,
    list_instances,
)
from iraas.backends.aws.fleet.launch_ledger import SlotEntry
from iraas.core.ports import Instance, InstanceState

UNLISTED_GONE_S = 900.0
"""An instance that EC2 does not know 15 minutes after its launch is gone: new ones may be unknown
for some minutes, terminated ones stay listed for about an hour."""


@dataclass(slots=True)
class FleetSnapshot:
    """Slots and instances as known at one moment.

    Attributes:
        read_at: Time at which the ledger was read, in seconds since the epoch.
        entries: The last entry of each slot that was ever used.
        listed: The instances that EC2 lists, by id.
    """

    read_at: float
    entries: dict[int, SlotEntry]
    listed: dict[str, ListedInstance]
    _by_token: dict[str, ListedInstance] = field(init=False)

    def __post_init__(self) -> None:
        self._by_token = {found.token: found for found in self.listed.values() if found.token}

    def instance_of(self, entry: SlotEntry) -> ListedInstance | None:
        """The instance in a slot, if EC2 lists it."""
        if entry.state == "occupied":
            return self.listed.get(entry.instance_id)
        return self._by_token.get(entry.token)

    def remaining_capacity(self, capacity: int) -> int:
        """Number of instances that may still be launched; negative if there are too many.

        Live instances that belong to no slot, whoever launched them, count as well.
        """
        held = [entry for entry in self.entries.values() if entry.state != "ended"]
        known = {found.instance_id for found in map(self.instance_of, held) if found}
        untracked = sum(
            instance.live and instance.instance_id not in known for instance in self.listed.values()
        )
        return capacity - len(held) - untracked

    def is_free(self, slot: int) -> bool:
        """Return whether a slot may be launched into."""
        entry = self.entries.get(slot)
        return entry is None or entry.state == "ended"

    def instances(self) -> list[Instance]:
        """The live instances; those known only to the ledger count as booting."""
        found = [instance.to_instance() for instance in self.listed.values() if instance.live]
        for entry in self.entries.values():
            young = self.read_at - entry.at < UNLISTED_GONE_S
            if entry.state == "occupied" and young and entry.instance_id not in self.listed:
                offer = (entry.candidate.instance_type, entry.candidate.pricing)
                found.append(Instance(entry.instance_id, InstanceState.BOOTING, entry.at, *offer))
        return sorted(found, key=lambda instance: (instance.launched_at, instance.instance_id))


def read_snapshot(
    client: Ec2Client,
    entries: dict[int, SlotEntry],
    deployment: str,
    role: str,
    *,
    read_at: float,
    ended: set[str],
) -> FleetSnapshot:
    """Merge ledger entries, read before, with EC2's current listing.

    Args:
        client: The EC2 client.
        entries: The last entry of each slot.
        deployment: The deployment's name.
        role: The instances' role tag.
        read_at: Time at which the entries were read, in seconds since the epoch.
        ended: Ids of instances that are known to be gone; updated in place.

    Raises:
        PermissionDeniedError, BackendError: EC2 cannot be read.
    """
    listed = {
        instance.instance_id: instance for instance in list_instances(client, deployment, [role])
    }
    # Not listed by tags: too new, long gone, or its tags were removed. Look it up by id whatever
    # its age: if it is alive, its slot must not be reused.
    unlisted = {
        entry.instance_id: entry
        for entry in entries.values()
        if entry.state == "occupied" and entry.instance_id not in listed.keys() | ended
    }
    for instance in find_instances(client, sorted(unlisted)):
        listed[instance.instance_id] = instance
    for instance_id, entry in unlisted.items():
        if instance_id not in listed and read_at - entry.at > UNLISTED_GONE_S:
            ended.add(instance_id)
    return FleetSnapshot(read_at, entries, listed)
