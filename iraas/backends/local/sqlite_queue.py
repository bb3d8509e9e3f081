"""A queue in one SQLite file, shared by any number of threads and processes of one machine.

Groups share it fairly by the time that their messages take: see `iraas.core.fair_shares`. The file
holds their virtual times, so that they outlive the processes that use it.
"""

import math
import re
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from iraas.backends.local.queue_groups import enter
from iraas.backends.local.queue_messages import (
    Candidate,
    Handle,
    candidates,
    delete,
    drop,
    end_due,
    group_names,
    hide_again,
    lease_all,
    release,
)
from iraas.backends.local.queue_schema import MIGRATIONS, SCHEMA
from iraas.backends.local.sqlite_database import SqliteDatabase
from iraas.core.ports import MAX_BATCH, OutboundMessage, QueueDepth, ReceivedMessage
from iraas.errors import MessageTooLargeError

MAX_BODY_BYTES = 52 * 2**10
"""Fits a request or a reply with the longest name, and little more: an image costs less CPU time in
the input store, where it must be stored anyway, than in a message (ADR 0120)."""
MAX_NOTE_CHARACTERS = 1024
MAX_DELAY_S = 900.0
MAX_LEASE_S = 43_200.0
MAX_WAIT_S = 20.0
_MIN_POLL_INTERVAL_S = 0.005
_MAX_POLL_INTERVAL_S = 0.1
_CLAIM_BITS = 59
_RECEIPT = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_VACUUM_OVER_BYTES = 8 * 2**20


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
        """Name the queue; its file is opened, or made, at its first use.

        Args:
            path: The database file.
            create: Whether to make a missing file; else the methods raise QueueNotFoundError.
            max_receives: How often a message is delivered before it becomes a dead letter, at
                least 1; None for no limit.
            dead_letters: The queue of the dead letters; set both or none.
            durable: Whether an acknowledged send survives a power cut. A killed process loses
                nothing either way.
            max_body_bytes: The longest body, in bytes of UTF-8.
            clock: Returns seconds since the epoch; the same for all processes that share the file.

        Raises:
            ValueError: Only one of `max_receives` and `dead_letters` is set, or the former is 0.
        """
        if (max_receives is None) != (dead_letters is None) or max_receives == 0:
            raise ValueError("max_receives (at least 1) and dead_letters go together")
        self._database = SqliteDatabase(path, schema=SCHEMA, migrations=MIGRATIONS, create=create)
        self._max_receives = max_receives
        self._dead_letters = dead_letters
        self._durable = durable
        self._max_body_bytes = max_body_bytes
        self._clock = clock

    @property
    def path(self) -> Path:
        """The database file."""
        return self._database.path

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
        self._database.make()

    def send(self, messages: Sequence[OutboundMessage]) -> None:
        """Send messages, all in one transaction. See `iraas.core.ports.Queue.send`."""
        for message in messages:
            self._check(message)
        if not messages:
            return
        now = self._clock()
        with self._database.writing("FULL" if self._durable else "NORMAL") as connection:
            groups = _enter(connection, messages)
            contents = []
            for message in messages:
                identity = connection.execute(
                    "INSERT INTO messages (group_id, due) VALUES (?, ?)",
                    (groups[message.group], now + message.delay_s if message.delay_s else None),
                ).lastrowid
                contents.append((identity, message.body, message.note[:MAX_NOTE_CHARACTERS]))
            connection.executemany("INSERT INTO contents VALUES (?, ?, ?)", contents)

    def receive(
        self, max_messages: int, *, lease_s: float, wait_s: float = 0.0
    ) -> list[ReceivedMessage]:
        """Receive messages under lease. See `iraas.core.ports.Queue.receive`.

        While waiting it polls for visible messages every 5 to 100 ms.
        """
        if not 1 <= max_messages <= MAX_BATCH:
            raise ValueError(f"max_messages is {max_messages}, not in 1..{MAX_BATCH}")
        _check_range("lease_s", lease_s, MAX_LEASE_S)
        _check_range("wait_s", wait_s, MAX_WAIT_S)
        deadline = time.monotonic() + wait_s
        pause_s = _MIN_POLL_INTERVAL_S
        received = self._claim(max_messages, lease_s)
        while not received:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return []
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.3, _MAX_POLL_INTERVAL_S)
            if self._has_visible():
                received = self._claim(max_messages, lease_s)
        return received

    def delete(self, receipts: Sequence[str], took_s: Sequence[float] | None = None) -> None:
        """Delete messages. See `iraas.core.ports.Queue.delete`."""
        reported = [None] * len(receipts) if took_s is None else took_s
        handles = [
            (handle, seconds)
            for receipt, seconds in zip(receipts, reported, strict=True)
            if (handle := _handle(receipt)) is not None
        ]
        if not handles:
            return
        with self._database.writing("NORMAL") as connection:
            drained = delete(connection, handles, self._clock())
        if drained:
            self._database.vacuum(_VACUUM_OVER_BYTES)

    def extend(self, receipts: Sequence[str], lease_s: float) -> None:
        """Extend leases to `lease_s` seconds from now. See `iraas.core.ports.Queue.extend`."""
        _check_range("lease_s", lease_s, MAX_LEASE_S)
        now = self._clock()
        handles = _handles(receipts)
        with self._database.writing("NORMAL") as connection:
            hide_again(connection, handles, now, lease_s)
            connection.executemany(
                "UPDATE messages SET due = ? WHERE id = ? AND claim = ?",
                [(now + lease_s, *handle) for handle in handles],
            )

    def release(self, receipts: Sequence[str]) -> None:
        """End leases now. See `iraas.core.ports.Queue.release`."""
        with self._database.writing("NORMAL") as connection:
            release(connection, _handles(receipts), self._clock())

    def depth(self) -> QueueDepth:
        """Count the messages exactly; makes no file. See `iraas.core.ports.Queue.depth`."""
        if self._database.will_be_created:
            return QueueDepth(0, 0, 0)
        with self._database.reading() as connection:
            visible, leased, delayed, ended, ended_delays = connection.execute(
                "SELECT total(visible), total(leased), total(delayed), ended, ended_delays "
                "FROM (SELECT count(*) AS ended, total(receive_count = 0) AS ended_delays "
                "FROM messages WHERE due IS NOT NULL AND due <= ?) LEFT JOIN groups",
                (self._clock(),),
            ).fetchone()
        leased, delayed = leased - ended + ended_delays, delayed - ended_delays
        return QueueDepth(int(visible + ended), int(leased), int(delayed))

    def close(self) -> None:
        """Close the file; the next use opens it again. Idempotent."""
        self._database.close()

    def _check(self, message: OutboundMessage) -> None:
        _check_range("delay_s", message.delay_s, MAX_DELAY_S)
        body = message.body
        body_bytes = len(body) if body.isascii() else len(body.encode())
        if body_bytes > self._max_body_bytes:
            raise MessageTooLargeError(
                f"a message of {body_bytes:,} bytes is over the queue's limit of "
                f"{self._max_body_bytes:,} bytes"
            )

    def _has_visible(self) -> bool:
        with self._database.reading() as connection:
            (found,) = connection.execute(
                "SELECT EXISTS (SELECT 1 FROM messages WHERE due IS NULL) "
                "OR EXISTS (SELECT 1 FROM messages WHERE due IS NOT NULL AND due <= ?)",
                (self._clock(),),
            ).fetchone()
        return bool(found)

    def _claim(self, max_messages: int, lease_s: float) -> list[ReceivedMessage]:
        with self._database.writing("NORMAL") as connection:
            now = self._clock()
            end_due(connection, now)
            found = self._candidates(connection, max_messages, now)
            if not found:
                return []
            claim = secrets.randbits(_CLAIM_BITS)
            lease_all(connection, found, claim, now, lease_s)
        return [
            ReceivedMessage(
                message.body, f"{message.id}-{claim}", message.receive_count + 1, message.note
            )
            for message in found
        ]

    def _candidates(
        self, connection: sqlite3.Connection, count: int, now: float
    ) -> list[Candidate]:
        """The next messages; those delivered too often go to the dead letters first."""
        while True:
            found = candidates(connection, count)
            max_receives = self._max_receives or math.inf
            exhausted = [message for message in found if message.receive_count >= max_receives]
            if not exhausted or self._dead_letters is None:
                return found
            self._dead_letters.send(
                [
                    OutboundMessage(message.body, name, 0.0, message.note)
                    for message, name in zip(
                        exhausted, group_names(connection, exhausted), strict=True
                    )
                ]
            )
            drop(connection, exhausted, now)


def _enter(connection: sqlite3.Connection, messages: Sequence[OutboundMessage]) -> dict[str, int]:
    """Count the messages to be inserted in their groups; the groups' ids by name."""
    visible = Counter(message.group for message in messages if not message.delay_s)
    delayed = Counter(message.group for message in messages if message.delay_s)
    return {
        name: enter(connection, name, visible[name], delayed[name]) for name in visible | delayed
    }


def _check_range(name: str, value: float, maximum: float) -> None:
    if not 0 <= value <= maximum:
        raise ValueError(f"{name} is {value}, not in 0..{maximum:g}")


def _handle(receipt: str) -> Handle | None:
    """Parse a receipt; None for a text that is not a receipt, which counts as stale."""
    match = _RECEIPT.fullmatch(receipt)
    return None if match is None else (int(match[1]), int(match[2]))


def _handles(receipts: Iterable[str]) -> list[Handle]:
    return [handle for handle in map(_handle, receipts) if handle is not None]
