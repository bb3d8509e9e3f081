"""The groups of a SQLite queue: their fair shares (`iraas.core.fair_shares`) and counts.

All functions are called inside a write transaction.
"""

import heapq
import math
import sqlite3
from collections.abc import Iterable

from iraas.core.fair_shares import FIRST_COST_S, QUANTUM_S, Costs, cost_s

_WAITING = """
SELECT settled_s + leased * cost_s, id, cost_s, visible FROM groups
WHERE visible > 0 ORDER BY settled_s + leased * cost_s LIMIT ?
"""
_IN_FLIGHT = """
SELECT min(settled_s + leased * cost_s) FROM groups WHERE leased > 0 OR delayed > 0
"""
_CATCH_UP = """
UPDATE groups SET settled_s = max(settled_s, ? - leased * cost_s) WHERE id = ? AND visible = 0
"""
_FORGET = """
DELETE FROM groups WHERE visible = 0 AND leased = 0 AND delayed = 0 AND settled_s <= ?
"""
_SETTLE = """
UPDATE groups SET settled_s = settled_s + ?, cost_s = cost_s + ? * (? - cost_s),
    visible = visible + ?, leased = leased + ?, delayed = delayed + ?
WHERE id = ? RETURNING visible + leased + delayed
"""


def turns(connection: sqlite3.Connection, count: int) -> list[int]:
    """The groups of the next messages to receive.

    Args:
        connection: The connection.
        count: The most messages.

    Returns:
        The group id of each message, in order; fewer than `count` if fewer are visible.
    """
    waiting = connection.execute(_WAITING, (count,)).fetchall()
    found: list[int] = []
    while waiting and len(found) < count:
        virtual_s, group, cost, visible = heapq.heappop(waiting)
        run = min(visible, count - len(found))
        if waiting:
            run = min(run, max(1, int((waiting[0][0] + QUANTUM_S - virtual_s) / cost)))
        found += [group] * run
        if run < visible:
            heapq.heappush(waiting, (virtual_s + run * cost, group, cost, visible - run))
    return found


def enter(connection: sqlite3.Connection, name: str, visible: int, delayed: int) -> int:
    """Count messages of a group that are about to be inserted.

    Args:
        connection: The connection.
        name: The group's name; the group is made if it is missing.
        visible: The number of visible messages.
        delayed: The number of delayed messages.

    Returns:
        The group's id.
    """
    row = connection.execute("SELECT id FROM groups WHERE name = ?", (name,)).fetchone()
    if row is None:
        least_s = _least(connection)
        connection.execute(_FORGET, (math.inf if least_s is None else least_s,))
        add = "INSERT INTO groups (name, settled_s, cost_s) VALUES (?, ?, ?) RETURNING id"
        row = connection.execute(add, (name, least_s or 0.0, FIRST_COST_S)).fetchone()
    group = int(row[0])
    wake(connection, [group])
    count = "UPDATE groups SET visible = visible + ?, delayed = delayed + ? WHERE id = ?"
    connection.execute(count, (visible, delayed, group))
    return group


def wake(connection: sqlite3.Connection, groups: Iterable[int]) -> None:
    """Raise the virtual time of groups that become active: a pause must not earn credit."""
    least_s = _least(connection)
    if least_s is not None:
        connection.executemany(_CATCH_UP, [(least_s, group) for group in groups])


def lease(connection: sqlite3.Connection, counts: Iterable[tuple[int, int]]) -> None:
    """Count visible messages as leased; `counts` pairs each group with its number."""
    connection.executemany(
        "UPDATE groups SET visible = visible - ?, leased = leased + ? WHERE id = ?",
        [(count, count, group) for group, count in counts],
    )


class Settlement:
    """The changes of groups from one call that ends leases or delays. Not thread-safe."""

    def __init__(self, now: float, together: int) -> None:
        """Start without changes.

        Args:
            now: The time, in seconds since the epoch.
            together: The number of messages in the call.
        """
        self._now = now
        self._together = together
        self._changes: dict[int, _Change] = {}

    def end_lease(
        self, group: int, received: float | None, reported_s: float | None = None, shown: int = 0
    ) -> None:
        """End a lease: charge its group, and count the message as deleted or visible again.

        Args:
            group: The message's group.
            received: When the lease began, in seconds since the epoch; None if unknown.
            reported_s: The seconds of work that the receiver reported; None if it did not.
            shown: 1 if the message is visible again, 0 if it is deleted.
        """
        change = self._changes.get(group) or self._of(group)
        if received is not None:
            change.costs.add(cost_s(self._now - received, reported_s, self._together))
        change.leased -= 1
        change.visible += shown

    def hide(self, group: int) -> None:
        """Count a visible message of a group as deleted."""
        self._of(group).visible -= 1

    def end_delay(self, group: int) -> None:
        """Count a delayed message of a group as visible."""
        change = self._of(group)
        change.delayed -= 1
        change.visible += 1

    def write(self, connection: sqlite3.Connection) -> bool:
        """Write the changes to the database; whether a group has no message left."""
        left = [
            connection.execute(
                _SETTLE,
                (
                    change.costs.sum_s,
                    change.costs.weight,
                    change.costs.mean_s,
                    change.visible,
                    change.leased,
                    change.delayed,
                    group,
                ),
            ).fetchone()[0]
            for group, change in self._changes.items()
        ]
        return 0 in left

    def _of(self, group: int) -> "_Change":
        change = self._changes.get(group)
        if change is None:
            change = self._changes[group] = _Change()
        return change


class _Change:
    """The changes of one group: its costs and its counts."""

    __slots__ = ("costs", "delayed", "leased", "visible")

    def __init__(self) -> None:
        self.costs = Costs()
        self.visible = self.leased = self.delayed = 0


def delete_groups_if_empty(connection: sqlite3.Connection) -> bool:
    """Delete all groups if the queue has no message; whether it has none."""
    any_message = "SELECT 1 FROM groups WHERE visible > 0 OR leased > 0 OR delayed > 0 LIMIT 1"
    if connection.execute(any_message).fetchone() is not None:
        return False
    connection.execute("DELETE FROM groups")
    return True


def _least(connection: sqlite3.Connection) -> float | None:
    """The least virtual time of the groups with visible messages, or else with any messages."""
    row = connection.execute(_WAITING, (1,)).fetchone()
    if row is None:
        row = connection.execute(_IN_FLIGHT).fetchone()
    return None if row[0] is None else float(row[0])
