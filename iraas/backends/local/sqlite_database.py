"""A SQLite database file: opened at its first use, reopened when it was replaced, fork-safe.

SQLite's locks belong to the process and are tracked in its memory. A connection that is carried
across a fork can therefore corrupt the file, even one that the child opens while the parent's is
open (https://www.sqlite.org/howtocorrupt.html, section 2.6). So every connection is closed just
before a fork, and each side opens its own when it needs one.
"""

import itertools
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from iraas.backends.local.durable_files import make_folder, translate_os_error
from iraas.errors import (
    BackendError,
    BackendUnavailableError,
    IraasError,
    PermissionDeniedError,
    QueueNotFoundError,
)

BUSY_TIMEOUT_S = 10.0
"""Seconds that a call waits for other writers before it raises BackendUnavailableError."""
_RETRY_PAUSE_S = 0.02
_WAL_LIMIT_BYTES = 16 * 2**20

_BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

Sync = Literal["FULL", "NORMAL"]


class SqliteDatabase:
    """A database file and this process's single connection to it.

    Thread-safe: a lock gives the connection to one thread at a time, which costs nothing, as SQLite
    allows one writer at a time. Processes and forks may each open the same file.
    """

    def __init__(
        self, path: Path, *, schema: str, migrations: Sequence[str] = (), create: bool
    ) -> None:
        """Name a file; nothing is opened yet.

        Args:
            path: The database file.
            schema: Statements that make the tables; run once, in one transaction. No statement
                contains a semicolon.
            migrations: Statements that upgrade version 1 of the tables to version 2, and so on.
            create: Whether to make a missing file and its folder. If False, using a missing file
                raises QueueNotFoundError.
        """
        self.path = path
        self._schema = schema
        self._migrations = migrations
        self._create = create
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._sync: Sync = "FULL"
        self.serial = next(_serials)
        with _fork_lock:
            _databases.add(self)

    def __del__(self) -> None:
        self._disconnect()

    @property
    def will_be_created(self) -> bool:
        """Whether the file is missing and the next use will make it."""
        return self._create and _identity(self.path) is None

    def make(self) -> None:
        """Make the file and its tables if they are missing. Idempotent."""
        with self.reading():
            return

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for single read statements, each its own transaction.

        Raises:
            BackendError: The database failed, or a more specific error.
        """
        with self._lock, self._errors_translated():
            yield self._connected()

    @contextmanager
    def writing(self, sync: Sync) -> Iterator[sqlite3.Connection]:
        """Yield the connection in a write transaction, which is committed after the block.

        An exception of the block rolls the transaction back.

        Args:
            sync: With ``FULL`` the transaction survives a power cut once the block has ended; with
                ``NORMAL`` a power cut may undo the latest transactions, but corrupts nothing.

        Raises:
            BackendError: The database failed, or a more specific error.
        """
        with self._lock, self._errors_translated():
            connection = self._connected()
            if sync != self._sync:
                connection.execute(f"PRAGMA synchronous={sync}")
                self._sync = sync
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def vacuum(self, over_bytes: int) -> None:
        """Return the space of deleted rows to the file system.

        Does nothing if another connection is using the file. Takes as long as copying the remaining
        rows.

        Args:
            over_bytes: Nothing is done for a file of at most this size.
        """
        with self._lock, self._errors_translated():
            connection = self._connected()
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
            if pages * page_bytes <= over_bytes:
                return
            try:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as exc:
                if not _is(exc, *_BUSY_CODES):
                    raise

    def close(self) -> None:
        """Close the connection; the next use opens another. Idempotent."""
        with self._lock:
            self._disconnect()

    def close_for_fork(self) -> None:
        """Close the connection, and block all threads until `fork_done`."""
        self._lock.acquire()
        self._disconnect()

    def fork_done(self) -> None:
        """Unblock threads after `close_for_fork`, in the parent and in the child."""
        self._lock.release()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None:
            if self._identity == _identity(self.path):
                return self._connection
            self._disconnect()  # the file was removed or replaced
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                connection = self._open()
            except sqlite3.OperationalError as exc:
                # Two processes that switch a new file to WAL together get BUSY without waiting.
                removed = _is(exc, sqlite3.SQLITE_CANTOPEN) and _identity(self.path) is None
                if not (removed or _is(exc, *_BUSY_CODES)) or time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_PAUSE_S)
                continue
            if connection is not None:
                self._connection = connection
                return connection

    def _open(self) -> sqlite3.Connection | None:
        """Open the file and make its tables; None if it was replaced meanwhile."""
        if self._create:
            make_folder(self.path.parent)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        identity = _identity(self.path)
        if identity is None:
            raise QueueNotFoundError(f"there is no queue at {self.path}")
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._prepare(connection)
            if identity != _identity(self.path):
                connection.close()
                return None
        except BaseException:
            connection.close()
            raise
        self._identity = identity
        self._sync = "FULL"
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT_BYTES}").fetchone()
        newest = len(self._migrations) + 1
        if _version(connection) == newest:
            return
        connection.execute("BEGIN IMMEDIATE")
        version = _version(connection)  # another process may have migrated it meanwhile
        if version > newest:
            raise BackendError(
                f"queue {self.path} was made by a newer version of iraas",
                remedy="Update iraas, or choose another folder with --home.",
            )
        scripts = self._migrations[version - 1 :] if version else [self._schema]
        for statement in ";".join(scripts).split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={newest}")
        connection.execute("COMMIT")

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise _translate(exc, self.path) from exc
        except OSError as exc:
            raise translate_os_error(exc, str(exc.filename or self.path)) from exc


def _identity(path: Path) -> tuple[int, int] | None:
    """The device and inode of a file; None if it is missing."""
    try:
        found = os.stat(path)  # noqa: PTH116 - runs with every call; Path.stat costs twice as much
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _version(connection: sqlite3.Connection) -> int:
    """The version of a file's tables; 0 if it has none."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _is(exc: sqlite3.Error, *codes: int) -> bool:
    """Whether an error has one of these primary result codes."""
    return getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in codes


def _translate(exc: sqlite3.Error, path: Path) -> IraasError:
    message = f"queue {path}: {exc}"
    if _is(exc, *_BUSY_CODES):
        return BackendUnavailableError(f"{message} (for {BUSY_TIMEOUT_S:g} s)", remedy="Try again.")
    if _is(exc, sqlite3.SQLITE_FULL):
        remedy = "Free some space on that disk, then try again."
        return BackendUnavailableError(message, remedy=remedy)
    if _is(exc, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        remedy = "Allow yourself to write there, or choose another folder with --home."
        return PermissionDeniedError(message, remedy=remedy)
    if _is(exc, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        remedy = (
            "Move that file and those beside it with the same name away and send again with "
            "iraas submit --resume: stored outcomes are kept."
        )
        return BackendError(message, remedy=remedy)
    if _is(exc, sqlite3.SQLITE_IOERR):
        return BackendUnavailableError(message, remedy="Check that disk, then try again.")
    return BackendError(message)


_databases: weakref.WeakSet[SqliteDatabase] = weakref.WeakSet()
_closed_for_fork: list[SqliteDatabase] = []
_fork_lock = threading.Lock()
_serials = itertools.count()


def _before_fork() -> None:
    _fork_lock.acquire()
    # Newest first: a queue is made after its dead-letter queue, and locks that one second.
    _closed_for_fork.extend(sorted(_databases, key=lambda database: -database.serial))
    for database in _closed_for_fork:
        database.close_for_fork()


def _after_fork() -> None:
    for database in _closed_for_fork:
        database.fork_done()
    _closed_for_fork.clear()
    _fork_lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
