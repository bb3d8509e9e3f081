"""The slots and the instances at one moment: the ledger merged with what EC2 lists late."""

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
for some minutes, ended ones stay listed for about an hour."""


@dataclass(slots=True)
class FleetSnapshot:
    """What was known at one moment.

    Attributes:
        read_at: When the ledger was read, in seconds since the epoch.
        entries: The last entry of each slot that was ever used.
        listed: The instances that EC2 shows, by id.
    """

    read_at: float
    entries: dict[int, SlotEntry]
    listed: dict[str, ListedInstance]
    _by_token: dict[str, ListedInstance] = field(init=False)

    def __post_init__(self) -> None:
        self._by_token = {found.token: found for found in self.listed.values() if found.token}

    def instance_of(self, entry: SlotEntry) -> ListedInstance | None:
        """The instance in a slot, as far as EC2 shows it."""
        if entry.state == "occupied":
            return self.listed.get(entry.instance_id)
        return self._by_token.get(entry.token)

    def room(self, capacity: int) -> int:
        """How many more instances there may be. Negative if there are too many already.

        Live instances that no slot knows, whoever launched them, count as well.
        """
        held = [entry for entry in self.entries.values() if entry.state != "ended"]
        known = {found.instance_id for found in map(self.instance_of, held) if found}
        strays = sum(one.live and one.instance_id not in known for one in self.listed.values())
        return capacity - len(held) - strays

    def is_free(self, slot: int) -> bool:
        """Whether a slot may be launched into."""
        entry = self.entries.get(slot)
        return entry is None or entry.state == "ended"

    def instances(self) -> list[Instance]:
        """The live instances; those that only the ledger knows yet are booting."""
        found = [one.to_instance() for one in self.listed.values() if one.live]
        for entry in self.entries.values():
            young = self.read_at - entry.at < UNLISTED_GONE_S
            if entry.state == "occupied" and young and entry.instance_id not in self.listed:
                kind, pricing = entry.option.kind, entry.option.pricing
                found.append(
                    Instance(entry.instance_id, InstanceState.BOOTING, entry.at, kind, pricing)
                )
        return sorted(found, key=lambda one: (one.launched_at, one.instance_id))


def read_view(
    client: Ec2Client,
    entries: dict[int, SlotEntry],
    deployment: str,
    role: str,
    *,
    read_at: float,
    ended: set[str],
) -> FleetSnapshot:
    """Merge the ledger's entries, read before, with what EC2 lists now.

    Args:
        client: The EC2 client.
        entries: The last entry of each slot.
        deployment: The deployment.
        role: Its instances' role tag.
        read_at: When the entries were read, in seconds since the epoch.
        ended: Ids of which nothing more is to be expected; those that turn out so are added.

    Raises:
        PermissionDeniedError, BackendError: EC2 could not be asked.
    """
    listed = {one.instance_id: one for one in list_instances(client, deployment, [role])}
    # Not listed by its tags: too new, long gone, or somebody took the tags away. However old it is,
    # it has to be asked for: it may be alive, and its slot would be given away.
    unlisted = {
        entry.instance_id: entry
        for entry in entries.values()
        if entry.state == "occupied" and entry.instance_id not in listed.keys() | ended
    }
    for one in find_instances(client, sorted(unlisted)):
        listed[one.instance_id] = one
    for instance_id, entry in unlisted.items():
        if instance_id not in listed and read_at - entry.at > UNLISTED_GONE_S:
            ended.add(instance_id)
    return FleetSnapshot(read_at, entries, listed)
