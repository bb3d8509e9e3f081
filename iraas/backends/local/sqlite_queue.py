"""A queue in one SQLite file, shared by any number of threads and processes of one machine.

Fairness is start-time fair queueing: a message's rank is one more than its group's last rank or
than the queue's virtual time, whichever is later, and the lowest rank is received first. The
virtual time is the highest rank received so far. A group's messages leave in the order in which
they came; a group of one that arrives behind a group of a million has nearly the lowest rank.
A group's last rank may be forgotten once the virtual time has passed it.
"""

import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from iraas.backends.local.queue_schema import SCHEMA
from iraas.backends.local.sqlite_file import SqliteFile
from iraas.core.ports import MAX_BATCH, OutboundMessage, QueueDepth, ReceivedMessage
from iraas.errors import MessageTooLargeError

MAX_BODY_BYTES = 52 * 2**10
"""Room for a request or a reply with the longest name, and for little more: an image costs less CPU
time in the input store, where it must go anyway, than in a message (ADR 0120)."""
MAX_NOTE_CHARACTERS = 1024
MAX_DELAY_S = 900.0
MAX_LEASE_S = 43_200.0
MAX_WAIT_S = 20.0
_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1
_ENDED_AT_ONCE = 200
_CLAIM_BITS = 59
_RECEIPT = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_SHRINK_OVER_BYTES = 8 * 2**20

_CANDIDATES = """
SELECT messages.id, rank, receive_count, body, note, group_name
FROM messages CROSS JOIN contents ON contents.id = messages.id
WHERE due IS NULL ORDER BY rank, messages.id LIMIT ?
"""
_END_DUE = """
UPDATE messages SET due = NULL WHERE id IN (
    SELECT id FROM messages WHERE due IS NOT NULL AND due <= ? ORDER BY due LIMIT ?
) RETURNING receive_count
"""
_DELETE_BOTH = ("DELETE FROM messages WHERE id = ?", "DELETE FROM contents WHERE id = ?")
_MOVE = """
UPDATE totals SET visible = visible + ?, leased = leased + ?, delayed = delayed + ?
"""

Candidate = tuple[int, int, int, str, str, str]
"""A message that may be received: id, rank, receive count, body, note, group."""


class SqliteQueue:
    """The `Queue` port on one SQLite file. Threads, processes and forks may share it.

    An acknowledged send survives a power cut if the queue is durable; receives, deletes and leases
    are not synced, so that a power cut may bring deleted messages back and end leases early, which
    at-least-once delivery allows.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = True,
        max_receives: int | None = None,
        dead_letters: "SqliteQueue | None" = None,
        durable: bool = True,
        max_body_bytes: int = MAX_BODY_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Name the queue; its file is opened, or made, when it is first used.

        Args:
            path: The database file.
            create: Whether to make the file when missing; else QueueNotFoundError is raised.
            max_receives: How often a message is handed out before it is a dead letter, at least 1.
            dead_letters: Where it goes then; set both or none.
            durable: Whether an acknowledged send survives a power cut. A killed process loses
                nothing either way.
            max_body_bytes: The longest body, in bytes of UTF-8.
            clock: Tells the time in seconds since the epoch; the same for all who share the file.
        """
        if (max_receives is None) != (dead_letters is None) or max_receives == 0:
            raise ValueError("max_receives (at least 1) and dead_letters go together")
        self._file = SqliteFile(path, schema=SCHEMA, create=create)
        self._max_receives = max_receives
        self._dead_letters = dead_letters
        self._durable = durable
        self._max_body_bytes = max_body_bytes
        self._clock = clock

    @property
    def path(self) -> Path:
        """The database file."""
        return self._file.path

    @property
    def max_body_bytes(self) -> int:
        """The longest body, in bytes of UTF-8."""
        return self._max_body_bytes

    @property
    def depth_lag_s(self) -> float:
        """0: the counts are exact."""
        return 0.0

    def make(self) -> None:
        """Make the file if it is missing. Idempotent."""
        self._file.make()

    def send(self, messages: Sequence[OutboundMessage]) -> None:
        """Send messages, all in one transaction. See `iraas.core.ports.Queue.send`."""
        for message in messages:
            self._check(message)
        if not messages:
            return
        now = self._clock()
        with self._file.writing("FULL" if self._durable else "NORMAL") as connection:
            (virtual_time,) = connection.execute("SELECT virtual_time FROM totals").fetchone()
            ranks: dict[str, int] = {}
            contents = []
            for message in messages:
                rank = ranks.get(message.group)
                if rank is None:
                    rank = max(virtual_time, _last_rank(connection, message.group))
                ranks[message.group] = rank = rank + 1
                identity = connection.execute(
                    "INSERT INTO messages (rank, due) VALUES (?, ?)",
                    (rank, now + message.delay_s if message.delay_s else None),
                ).lastrowid
                note = message.note[:MAX_NOTE_CHARACTERS]
                contents.append((identity, message.body, message.group, note))
            connection.executemany("INSERT INTO contents VALUES (?, ?, ?, ?)", contents)
            connection.executemany("INSERT OR REPLACE INTO groups VALUES (?, ?)", ranks.items())
            delayed = sum(message.delay_s > 0 for message in messages)
            connection.execute(_MOVE, (len(messages) - delayed, 0, delayed))

    def receive(
        self, max_messages: int, *, lease_s: float, wait_s: float = 0.0
    ) -> list[ReceivedMessage]:
        """Receive messages under lease. See `iraas.core.ports.Queue.receive`.

        While it waits it looks whether anybody has written, every 5 to 100 ms.
        """
        if not 1 <= max_messages <= MAX_BATCH:
            raise ValueError(f"max_messages is {max_messages}, not in 1..{MAX_BATCH}")
        _check_range("lease_s", lease_s, MAX_LEASE_S)
        _check_range("wait_s", wait_s, MAX_WAIT_S)
        deadline = time.monotonic() + wait_s
        pause_s = _FIRST_PAUSE_S
        while True:
            if self._something_is_visible():
                received = self._claim(max_messages, lease_s)
                if received:
                    return received
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return []
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.3, _LONGEST_PAUSE_S)

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages for good. See `iraas.core.ports.Queue.delete`."""
        handles = _handles(receipts)
        if not handles:
            return
        with self._file.writing("NORMAL") as connection:
            drained = _delete(connection, handles)
        if drained:
            self._file.shrink(_SHRINK_OVER_BYTES)

    def extend(self, receipts: Sequence[str], lease_s: float) -> None:
        """Let leases end so many seconds from now. See `iraas.core.ports.Queue.extend`."""
        _check_range("lease_s", lease_s, MAX_LEASE_S)
        due = self._clock() + lease_s
        handles = [(due, *handle) for handle in _handles(receipts)]
        with self._file.writing("NORMAL") as connection:
            hide = "UPDATE messages SET due = ? WHERE id = ? AND claim = ? AND due IS NULL"
            hidden = connection.executemany(hide, handles).rowcount
            connection.execute(_MOVE, (-hidden, hidden, 0))
            renew = "UPDATE messages SET due = ? WHERE id = ? AND claim = ?"
            connection.executemany(renew, handles)

    def release(self, receipts: Sequence[str]) -> None:
        """End leases now. See `iraas.core.ports.Queue.release`."""
        handles = _handles(receipts)
        with self._file.writing("NORMAL") as connection:
            show = "UPDATE messages SET due = NULL WHERE id = ? AND claim = ? AND due IS NOT NULL"
            shown = connection.executemany(show, handles).rowcount
            connection.execute(_MOVE, (shown, -shown, 0))

    def depth(self) -> QueueDepth:
        """Count the messages, exactly; makes no file. See `iraas.core.ports.Queue.depth`."""
        if self._file.is_to_be_made:
            return QueueDepth(0, 0, 0)
        with self._file.reading() as connection:
            visible, leased, delayed, ended, ended_delays = connection.execute(
                "SELECT visible, leased, delayed, count(receive_count), total(receive_count = 0) "
                "FROM totals LEFT JOIN messages ON due IS NOT NULL AND due <= ?",
                (self._clock(),),
            ).fetchone()
        ended_delays = int(ended_delays)
        return QueueDepth(visible + ended, leased - ended + ended_delays, delayed - ended_delays)

    def close(self) -> None:
        """Let go of the file; the next use opens it again. Idempotent."""
        self._file.close()

    def _check(self, message: OutboundMessage) -> None:
        _check_range("delay_s", message.delay_s, MAX_DELAY_S)
        body = message.body
        body_bytes = len(body) if body.isascii() else len(body.encode())
        if body_bytes > self._max_body_bytes:
            raise MessageTooLargeError(
                f"a message of {body_bytes:,} bytes is over the queue's limit of "
                f"{self._max_body_bytes:,} bytes"
            )

    def _something_is_visible(self) -> bool:
        with self._file.reading() as connection:
            (found,) = connection.execute(
                "SELECT EXISTS (SELECT 1 FROM messages WHERE due IS NULL) "
                "OR EXISTS (SELECT 1 FROM messages WHERE due IS NOT NULL AND due <= ?)",
                (self._clock(),),
            ).fetchone()
        return bool(found)

    def _claim(self, max_messages: int, lease_s: float) -> list[ReceivedMessage]:
        with self._file.writing("NORMAL") as connection:
            now = self._clock()
            _end_due(connection, now)
            candidates = self._candidates(connection, max_messages)
            if not candidates:
                return []
            claim = secrets.randbits(_CLAIM_BITS)
            connection.executemany(
                "UPDATE messages SET due = ?, claim = ?, receive_count = receive_count + 1 "
                "WHERE id = ?",
                [(now + lease_s, claim, candidate[0]) for candidate in candidates],
            )
            count = len(candidates)
            connection.execute(_MOVE, (-count, count, 0))
            _advance(connection, candidates[-1][1])
        return [
            ReceivedMessage(body, f"{identity}-{claim}", receive_count + 1, note)
            for identity, _, receive_count, body, note, _ in candidates
        ]

    def _candidates(self, connection: sqlite3.Connection, count: int) -> list[Candidate]:
        """The messages that are next; those handed out too often are moved away first."""
        while True:
            found: list[Candidate] = connection.execute(_CANDIDATES, (count,)).fetchall()
            worn = [one for one in found if one[2] >= (self._max_receives or one[2] + 1)]
            if not worn or self._dead_letters is None:
                return found
            self._dead_letters.send(
                [OutboundMessage(body, group, 0.0, note) for _, _, _, body, note, group in worn]
            )
            for delete in _DELETE_BOTH:
                connection.executemany(delete, [(one[0],) for one in worn])
            connection.execute(_MOVE, (-len(worn), 0, 0))


def _check_range(name: str, value: float, most: float) -> None:
    if not 0 <= value <= most:
        raise ValueError(f"{name} is {value}, not in 0..{most:g}")


def _handles(receipts: Iterable[str]) -> list[tuple[int, int]]:
    """Take receipts apart; what is no receipt of ours is as stale as one can be."""
    matches = (_RECEIPT.fullmatch(receipt) for receipt in receipts)
    return [(int(match[1]), int(match[2])) for match in matches if match is not None]


def _last_rank(connection: sqlite3.Connection, group: str) -> int:
    row = connection.execute("SELECT last_rank FROM groups WHERE name = ?", (group,)).fetchone()
    return int(row[0]) if row else 0


def _end_due(connection: sqlite3.Connection, now: float) -> None:
    """Make messages visible whose lease or delay is over, a bounded number at a time."""
    ended = connection.execute(_END_DUE, (now, _ENDED_AT_ONCE)).fetchall()
    if ended:
        delays = sum(receive_count == 0 for (receive_count,) in ended)
        connection.execute(_MOVE, (len(ended), delays - len(ended), -delays))


def _advance(connection: sqlite3.Connection, rank: int) -> None:
    """Let the virtual time reach a rank, and forget the groups that it passes."""
    advance = "UPDATE totals SET virtual_time = ?1 WHERE virtual_time < ?1"
    if connection.execute(advance, (rank,)).rowcount:
        connection.execute("DELETE FROM groups WHERE last_rank <= ?", (rank,))


def _delete(connection: sqlite3.Connection, handles: list[tuple[int, int]]) -> bool:
    """Delete messages by receipt; tell whether the queue is empty now."""
    query = "DELETE FROM messages WHERE id = ? AND claim = ? RETURNING due IS NULL"
    gone, visible = [], 0
    for handle in handles:
        rows = connection.execute(query, handle).fetchall()
        if rows:
            gone.append(handle[:1])
            visible += rows[0][0]
    connection.executemany("DELETE FROM contents WHERE id = ?", gone)
    row = connection.execute(
        _MOVE + "RETURNING visible + leased + delayed", (-visible, visible - len(gone), 0)
    ).fetchone()
    return bool(gone) and row == (0,)
