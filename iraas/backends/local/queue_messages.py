"""The messages of a SQLite queue: receiving them and ending their leases.

All functions are called inside a write transaction. `now` is in seconds since the epoch, lease
times are in seconds, and `handles` are parsed receipts, of which stale ones are ignored.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from iraas.backends.local.queue_groups import (
    Settlement,
    delete_groups_if_empty,
    lease,
    turns,
    wake,
)

_END_BATCH = 200
_OLDEST = """
SELECT messages.id, receive_count, body, note, group_id
FROM messages CROSS JOIN contents ON contents.id = messages.id
WHERE group_id = ? AND due IS NULL ORDER BY messages.id LIMIT ?
"""
_DUE = """
SELECT id, receive_count, claim, group_id, received FROM messages
WHERE due IS NOT NULL AND due <= ? ORDER BY due LIMIT ?
"""
_LEASE = """
UPDATE messages SET due = ?, claim = ?, receive_count = receive_count + 1, received = ?
WHERE id = ?
"""
_DELETE = (
    "DELETE FROM messages WHERE id = ? AND claim = ? RETURNING due IS NULL, group_id, received"
)

Handle = tuple[int, int]
"""A parsed receipt: the message's id, and the number of its receive."""
_Leased = tuple[int, int, float | None]
"""A leased message: its id, its group, and when the lease began, if known."""


class Candidate(NamedTuple):
    """A visible message.

    Attributes:
        id: Its id.
        receive_count: How often it was received.
        body: Its body.
        note: Its note.
        group_id: The id of its group.
    """

    id: int
    receive_count: int
    body: str
    note: str
    group_id: int


def candidates(connection: sqlite3.Connection, count: int) -> list[Candidate]:
    """The next visible messages, at most `count`, each group's in the order of sending."""
    groups = turns(connection, count)
    found = {
        group: iter(connection.execute(_OLDEST, (group, number)).fetchall())
        for group, number in _counts(groups)
    }
    return [Candidate._make(next(found[group])) for group in groups]


def lease_all(
    connection: sqlite3.Connection,
    messages: Sequence[Candidate],
    claim: int,
    now: float,
    lease_s: float,
) -> None:
    """Lease messages under one claim.

    Args:
        connection: The connection.
        messages: The messages.
        claim: The number of this receive, which goes into the receipts.
        now: The time, in seconds since the epoch.
        lease_s: Seconds until the lease ends.
    """
    due = now + lease_s
    connection.executemany(_LEASE, [(due, claim, now, message.id) for message in messages])
    lease(connection, _counts([message.group_id for message in messages]))


def end_due(connection: sqlite3.Connection, now: float) -> None:
    """Make messages visible whose lease or delay has ended, a bounded number per call.

    Messages that were received together and end together are released together.
    """
    due = connection.execute(_DUE, (now, _END_BATCH)).fetchall()
    if not due:
        return
    delayed = [(row[0], row[3]) for row in due if row[1] == 0]
    leased: dict[int, list[_Leased]] = defaultdict(list)
    for identity, receive_count, claim, group, received in due:
        if receive_count:
            leased[claim].append((identity, group, received))
    for messages in leased.values():
        show(connection, messages, now)
    wake(connection, {group for _, group in delayed})
    settlement = Settlement(now, len(delayed))
    for _, group in delayed:
        settlement.end_delay(group)
    settlement.write(connection)
    _make_visible(connection, [identity for identity, _ in delayed])


def hide_again(
    connection: sqlite3.Connection, handles: Sequence[Handle], now: float, lease_s: float
) -> None:
    """Lease messages again that are visible and were not received by another receiver since."""
    hide = (
        "UPDATE messages SET due = ?, received = ? WHERE id = ? AND claim = ? AND due IS NULL "
        "RETURNING group_id"
    )
    for handle in handles:
        hidden = connection.execute(hide, (now + lease_s, now, *handle)).fetchall()
        lease(connection, [(group, 1) for (group,) in hidden])


def release(connection: sqlite3.Connection, handles: Iterable[Handle], now: float) -> None:
    """Make leased messages visible again."""
    query = (
        "SELECT id, group_id, received FROM messages WHERE id = ? AND claim = ? AND due IS NOT NULL"
    )
    found = {row for handle in handles for row in connection.execute(query, handle)}
    show(connection, found, now)


def show(connection: sqlite3.Connection, messages: Collection[_Leased], now: float) -> None:
    """Make leased messages visible again, all released together."""
    settlement = Settlement(now, len(messages))
    wake(connection, {group for _, group, _ in messages})
    for _, group, received in messages:
        settlement.end_lease(group, received, shown=1)
    settlement.write(connection)
    _make_visible(connection, [identity for identity, _, _ in messages])


def delete(
    connection: sqlite3.Connection, handles: Sequence[tuple[Handle, float | None]], now: float
) -> bool:
    """Delete messages by receipt; stale receipts are ignored.

    Args:
        connection: The connection.
        handles: The receipts, each with the seconds of work that the receiver reported, if any.
        now: The time, in seconds since the epoch.

    Returns:
        Whether the queue is empty.
    """
    settlement = Settlement(now, len(handles))
    deleted = []
    for handle, reported_s in handles:
        for is_visible, group, received in connection.execute(_DELETE, handle).fetchall():
            deleted.append(handle[:1])
            if is_visible:
                settlement.hide(group)
            else:
                settlement.end_lease(group, received, reported_s)
    connection.executemany("DELETE FROM contents WHERE id = ?", deleted)
    return settlement.write(connection) and delete_groups_if_empty(connection)


def drop(connection: sqlite3.Connection, messages: Sequence[Candidate], now: float) -> None:
    """Delete visible messages."""
    for delete in ("DELETE FROM messages WHERE id = ?", "DELETE FROM contents WHERE id = ?"):
        connection.executemany(delete, [(message.id,) for message in messages])
    settlement = Settlement(now, len(messages))
    for message in messages:
        settlement.hide(message.group_id)
    settlement.write(connection)


def group_names(connection: sqlite3.Connection, messages: Sequence[Candidate]) -> list[str]:
    """The names of the messages' groups."""
    query = "SELECT name FROM groups WHERE id = ?"
    return [connection.execute(query, (message.group_id,)).fetchone()[0] for message in messages]


def _counts(groups: Sequence[int]) -> list[tuple[int, int]]:
    """Each group with the number of its occurrences."""
    first = groups[0] if groups else 0
    if groups.count(first) == len(groups):
        return [(first, len(groups))]
    return [(group, groups.count(group)) for group in set(groups)]


def _make_visible(connection: sqlite3.Connection, messages: Iterable[int]) -> None:
    show = "UPDATE messages SET due = NULL WHERE id = ?"
    connection.executemany(show, [(identity,) for identity in messages])
