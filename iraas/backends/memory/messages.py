"""The contents of a queue in memory: its messages and the shares of their groups.

Not thread-safe: the queue locks it. Times are in seconds of the queue's clock.
"""

import heapq
import itertools
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from iraas.core.fair_shares import FIRST_COST_S, Costs, cost_s
from iraas.core.ports import OutboundMessage, QueueDepth


@dataclass(slots=True)
class Entry:
    """A message with its state.

    Attributes:
        message: The message.
        due: When its lease or delay ends; None while it is visible.
        received: When it was last received.
        receive_count: How often it was received.
        claim: The receipt of its last receive; empty before the first.
    """

    message: OutboundMessage
    due: float | None = None
    received: float = 0.0
    receive_count: int = 0
    claim: str = ""

    @property
    def is_leased(self) -> bool:
        """Whether it is leased."""
        return self.due is not None and self.receive_count > 0


@dataclass(slots=True)
class Group:
    """A group's share (see `iraas.core.fair_shares`) and its messages.

    Attributes:
        settled_s: Its virtual time without the messages in flight.
        cost_s: The moving average of its messages' costs.
        visible: A heap of the numbers of its visible messages.
        leased: The number of its leased messages.
        present: The number of all its messages.
    """

    settled_s: float
    cost_s: float = FIRST_COST_S
    visible: list[int] = field(default_factory=list)
    leased: int = 0
    present: int = 0

    @property
    def virtual_s(self) -> float:
        """Its virtual time: the costs of finished messages and the expected ones in flight."""
        return self.settled_s + self.leased * self.cost_s

    def settle(self, costs: Costs) -> None:
        """Charge the group for finished messages."""
        self.settled_s += costs.sum_s
        self.cost_s += costs.weight * (costs.mean_s - self.cost_s)


@dataclass(slots=True)
class Messages:
    """The messages of a queue. `hidden` is a heap that may contain outdated entries."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    entries: dict[int, Entry] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    hidden: list[tuple[float, int]] = field(default_factory=list)
    received_at: float = 0.0

    def add(self, message: OutboundMessage, now: float) -> None:
        """Add a message."""
        group = self.groups.get(message.group)
        if group is None:
            self._delete_idle_groups()
            group = self.groups[message.group] = Group(self._least_s() or 0.0)
        group.present += 1
        number = next(self.numbers)
        self.entries[number] = Entry(message)
        if message.delay_s:
            self.hide(number, now + message.delay_s)
        else:
            self.show(number)

    def hide(self, number: int, due: float) -> None:
        """Hide a message that has been taken from its group's visible ones."""
        entry = self.entries[number]
        group = self.groups[entry.message.group]
        group.leased += (entry.receive_count > 0) - entry.is_leased
        entry.due = due
        heapq.heappush(self.hidden, (due, number))

    def show(self, number: int) -> None:
        """Make a message visible."""
        entry = self.entries[number]
        group = self.groups[entry.message.group]
        group.leased -= entry.is_leased
        entry.due = None
        least_s = None if group.visible else self._least_s()
        if least_s is not None:  # a pause earns no credit
            group.settled_s = max(group.settled_s, least_s - group.leased * group.cost_s)
        heapq.heappush(group.visible, number)

    def hide_again(self, number: int, now: float, due: float) -> None:
        """Lease a message again; a visible one is taken from its group."""
        entry = self.entries[number]
        if entry.due is None:
            visible = self.groups[entry.message.group].visible
            visible.remove(number)
            heapq.heapify(visible)
            entry.received = now
        self.hide(number, due)

    def drop(self, number: int) -> None:
        """Delete a message."""
        entry = self.entries.pop(number)
        group = self.groups[entry.message.group]
        group.leased -= entry.is_leased
        group.present -= 1
        if number in group.visible:
            group.visible.remove(number)
            heapq.heapify(group.visible)
        if not self.entries:
            self.groups.clear()

    def settle(self, released: Sequence[tuple[int, float | None]], now: float) -> None:
        """Charge the groups of messages whose leases end together.

        Args:
            released: The messages' numbers, each with the seconds of work that were reported.
            now: The time, in seconds.
        """
        costs: dict[str, Costs] = defaultdict(Costs)
        for number, reported_s in released:
            entry = self.entries[number]
            if entry.is_leased:
                cost = cost_s(now - entry.received, reported_s, len(released))
                costs[entry.message.group].add(cost)
        for name, charged in costs.items():
            self.groups[name].settle(charged)

    def end_due(self, now: float) -> None:
        """Make messages visible whose lease or delay has ended."""
        ended: dict[float, set[int]] = defaultdict(set)
        while self.hidden and self.hidden[0][0] <= now:
            due, number = heapq.heappop(self.hidden)
            if number in self.entries and self.entries[number].due == due:
                ended[self.entries[number].received].add(number)
        for numbers in ended.values():
            self.settle([(number, None) for number in numbers], now)
            for number in numbers:
                self.show(number)

    def pop(self) -> int | None:
        """Take the next visible message, by its group's turn; None if there is none."""
        waiting = [group for group in self.groups.values() if group.visible]
        if not waiting:
            return None
        return heapq.heappop(min(waiting, key=lambda group: group.virtual_s).visible)

    def find(self, receipt: str) -> int | None:
        """The number of a receipt's message; None if the receipt is stale."""
        number = receipt.partition("-")[0]
        entry = self.entries.get(int(number)) if number.isdecimal() else None
        return int(number) if entry is not None and entry.claim == receipt else None

    def count(self) -> QueueDepth:
        """Count the messages."""
        visible = sum(len(group.visible) for group in self.groups.values())
        leased = sum(group.leased for group in self.groups.values())
        return QueueDepth(visible, leased, len(self.entries) - visible - leased)

    def _least_s(self) -> float | None:
        """The least virtual time of the groups with visible messages, or else with any messages."""
        groups = [group for group in self.groups.values() if group.present]
        waiting = [group for group in groups if group.visible]
        return min((group.virtual_s for group in waiting or groups), default=None)

    def _delete_idle_groups(self) -> None:
        """Delete the groups that have neither messages nor debt."""
        least_s = self._least_s()
        for name, group in list(self.groups.items()):
            if not group.present and (least_s is None or group.settled_s <= least_s):
                del self.groups[name]
