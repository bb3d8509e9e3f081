"""The SQLite queue beyond the contract: fairness, files, bounds and errors."""

import os
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from iraas.backends.local.sqlite_database import _after_fork, _before_fork
from iraas.backends.local.sqlite_queue import MAX_BODY_BYTES, SqliteQueue
from iraas.core.messages import MAX_NAME_CHARACTERS, Request, encode_request
from iraas.core.ports import OutboundMessage, QueueDepth
from iraas.errors import (
    BackendError,
    BackendUnavailableError,
    PermissionDeniedError,
    QueueNotFoundError,
)
from tests.waiting import PATIENCE_S

LEASE_S = 60.0


def send(queue: SqliteQueue, *bodies: str, group: str = "") -> None:
    queue.send([OutboundMessage(body, group) for body in bodies])


def receive(queue: SqliteQueue, count: int = 10) -> list[str]:
    return [message.body for message in queue.receive(count, lease_s=LEASE_S)]


def drain(queue: SqliteQueue) -> list[str]:
    bodies: list[str] = []
    while batch := queue.receive(10, lease_s=LEASE_S):
        bodies += [message.body for message in batch]
        queue.delete([message.receipt for message in batch])
    return bodies


def rows(path: Path, query: str) -> list[tuple[int, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.fixture
def queue(tmp_path: Path) -> SqliteQueue:
    return SqliteQueue(tmp_path / "queues" / "requests.db")


def test_naming_a_queue_touches_nothing(tmp_path: Path) -> None:
    SqliteQueue(tmp_path / "a" / "b.db").close()
    assert list(tmp_path.iterdir()) == []


def test_its_files_are_for_this_user_alone(queue: SqliteQueue) -> None:
    send(queue, "a")
    for path in (queue.path, queue.path.parent):
        assert path.stat().st_mode & 0o077 == 0


def test_one_group_leaves_in_the_order_in_which_it_came(queue: SqliteQueue) -> None:
    sent = [f"m{n}" for n in range(500)]
    for start in range(0, 500, 7):
        send(queue, *sent[start : start + 7], group="only")
    assert drain(queue) == sent


def test_a_group_of_one_behind_ten_thousand_is_served_at_once(queue: SqliteQueue) -> None:
    for _ in range(10):
        send(queue, *(["large"] * 1000), group="large")
    receive(queue)
    send(queue, "small", group="small")
    assert "small" in receive(queue, 2)


def test_groups_of_any_size_share_evenly(queue: SqliteQueue) -> None:
    send(queue, *(["a"] * 300), group="a")
    receive(queue)
    for group in ("b", "c"):
        send(queue, *([group] * 100), group=group)
    served = [body for _ in range(9) for body in receive(queue)]
    assert {served.count(group) for group in "abc"} == {30}


def test_a_paused_group_saves_up_no_credit(queue: SqliteQueue) -> None:
    send(queue, "early", group="b")
    send(queue, *(["a"] * 200), group="a")
    for _ in range(10):
        receive(queue)
    send(queue, *(["b"] * 50), group="b")
    served = receive(queue) + receive(queue)
    assert served.count("b") == 10


def test_a_drained_group_leaves_no_trace(queue: SqliteQueue) -> None:
    for n in range(200):
        send(queue, "x", "y", group=f"job {n}")
    drain(queue)
    assert rows(queue.path, "SELECT count(*) FROM groups") == [(0,)]


VERSION_1 = """
CREATE TABLE messages (id INTEGER PRIMARY KEY, rank INTEGER NOT NULL, due REAL, claim INTEGER,
    receive_count INTEGER NOT NULL DEFAULT 0);
CREATE INDEX visible ON messages (rank) WHERE due IS NULL;
CREATE INDEX hidden ON messages (due, receive_count) WHERE due IS NOT NULL;
CREATE TABLE contents (id INTEGER PRIMARY KEY, body TEXT NOT NULL, group_name TEXT NOT NULL,
    note TEXT NOT NULL);
CREATE TABLE groups (name TEXT PRIMARY KEY, last_rank INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX group_ranks ON groups (last_rank);
CREATE TABLE totals (id INTEGER PRIMARY KEY CHECK (id = 1), visible INTEGER NOT NULL DEFAULT 0,
    leased INTEGER NOT NULL DEFAULT 0, delayed INTEGER NOT NULL DEFAULT 0,
    virtual_time INTEGER NOT NULL DEFAULT 0);
INSERT INTO totals VALUES (1, 3, 1, 1, 2);
INSERT INTO groups VALUES ('a', 3), ('b', 4);
INSERT INTO messages VALUES (1, 1, NULL, NULL, 0), (2, 2, 2000.0, 77, 1), (3, 3, NULL, 5, 2),
    (4, 3, NULL, NULL, 0), (5, 4, 1500.0, NULL, 0);
INSERT INTO contents VALUES (1, 'a1', 'a', ''), (2, 'a2', 'a', 'n'), (3, 'a3', 'a', ''),
    (4, 'b1', 'b', ''), (5, 'b2', 'b', '');
PRAGMA user_version=1;
"""
"""The tables of the previous version."""


def test_a_queue_of_an_older_version_is_migrated(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "q.db")) as connection:
        connection.executescript(VERSION_1)
    now = 1000.0
    queue = SqliteQueue(tmp_path / "q.db", clock=lambda: now)
    assert queue.depth() == QueueDepth(3, 1, 1)
    received = {one.body: one.receive_count for one in queue.receive(10, lease_s=LEASE_S)}
    assert received == {"a1": 1, "a3": 3, "b1": 1}
    queue.delete(["2-77"])
    now = 1501.0
    assert sorted(drain(queue)) == ["a1", "a3", "b1", "b2"]
    assert queue.depth() == QueueDepth(0, 0, 0)
    assert rows(queue.path, "PRAGMA user_version") == [(2,)]


def test_concurrent_migrations_of_an_old_queue_both_succeed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "q.db")) as connection:
        connection.executescript(VERSION_1)
    queues = [SqliteQueue(tmp_path / "q.db", clock=lambda: 1000.0) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: one.receive(1, lease_s=LEASE_S), queues))
    assert sorted(one.body for batch in found for one in batch) == ["a1", "a3", "b1"]


def test_a_queue_of_a_newer_version_is_refused(queue: SqliteQueue) -> None:
    send(queue, "a")
    queue.close()
    with closing(sqlite3.connect(queue.path)) as connection:
        connection.execute("PRAGMA user_version=3")
    with pytest.raises(BackendError, match="newer version") as caught:
        queue.depth()
    assert "Update iraas" in caught.value.remedy


def test_charges_of_groups_survive_the_process(tmp_path: Path) -> None:
    now = 1000.0
    path = tmp_path / "q.db"
    with closing(SqliteQueue(path, clock=lambda: now)) as queue:
        for group in ("slow", "quick"):
            send(queue, *[group] * 200, group=group)
        (first,) = queue.receive(1, lease_s=LEASE_S)
        assert first.body == "slow"
        now += 10.0
        queue.delete([first.receipt])
    with closing(SqliteQueue(path, clock=lambda: now)) as queue:
        assert [receive(queue, 1) for _ in range(99)] == [["quick"]] * 99


def test_the_groups_counts_agree_with_the_rows_after_any_traffic(queue: SqliteQueue) -> None:
    queue.send([OutboundMessage(f"m{n}", delay_s=n % 3) for n in range(100)])
    received = [queue.receive(5, lease_s=LEASE_S) for _ in range(6)]
    queue.delete([message.receipt for message in received[0]])
    queue.release([message.receipt for message in received[1] + received[0]])
    queue.extend([message.receipt for message in received[1] + received[2]], 5.0)
    counted = rows(
        queue.path,
        "SELECT sum(due IS NULL), sum(due IS NOT NULL AND receive_count > 0), "
        "sum(due IS NOT NULL AND receive_count = 0) FROM messages",
    )
    counts = "SELECT sum(visible), sum(leased), sum(delayed) FROM groups"
    assert rows(queue.path, counts) == counted


def test_leases_that_end_together_are_all_visible_again(tmp_path: Path) -> None:
    now = 1000.0
    queue = SqliteQueue(tmp_path / "q.db", durable=False, clock=lambda: now)
    queue.send([OutboundMessage(f"m{n}", delay_s=10.0) for n in range(700)])
    now = 1010.0
    assert queue.depth().visible == 700
    assert len(drain(queue)) == 700


def test_max_receives_needs_a_dead_letter_queue(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="go together"):
        SqliteQueue(tmp_path / "q.db", max_receives=3)


def test_a_dead_letter_keeps_its_senders_note(tmp_path: Path) -> None:
    dead = SqliteQueue(tmp_path / "dead.db")
    queue = SqliteQueue(tmp_path / "q.db", max_receives=1, dead_letters=dead)
    queue.send([OutboundMessage("a", note="why"), OutboundMessage("b")])
    queue.release([message.receipt for message in queue.receive(2, lease_s=LEASE_S)])
    assert receive(queue) == []
    letters = dead.receive(2, lease_s=LEASE_S)
    assert {letter.body: letter.note for letter in letters} == {"a": "why", "b": ""}


def test_a_full_dead_letter_queue_loses_no_message(tmp_path: Path) -> None:
    blocked = tmp_path / "dead.db"
    blocked.mkdir()
    queue = SqliteQueue(
        tmp_path / "q.db", max_receives=1, dead_letters=SqliteQueue(blocked), durable=False
    )
    send(queue, "a")
    queue.release([message.receipt for message in queue.receive(1, lease_s=LEASE_S)])
    with pytest.raises(BackendError):
        receive(queue)
    assert queue.depth().visible == 1
    blocked.rmdir()
    assert receive(queue) == []
    assert queue.depth().total == 0


def test_the_largest_request_by_key_fits(queue: SqliteQueue) -> None:
    body = encode_request(
        Request(
            request_id="01arz3ndektsv4rrffq69g5fav-00000001",
            name="\U0001f99d" * MAX_NAME_CHARACTERS,
            submitted_at=1e11 + 0.123456789,
            reply_to="r" * 64,
            input_key="k" * 512,
        )
    )
    assert len(body) <= MAX_BODY_BYTES
    send(queue, body)
    assert receive(queue) == [body]


def test_a_waiting_receiver_polls_with_increasing_intervals(tmp_path: Path) -> None:
    """Every 100 ms in the end; each poll reads the clock once."""
    polls = []

    def clock() -> float:
        polls.append(time.time())
        return polls[-1]

    queue = SqliteQueue(tmp_path / "watched.db", clock=clock)
    queue.make()
    assert queue.receive(1, lease_s=LEASE_S, wait_s=0.4) == []
    queue.close()
    assert len(polls) < 40


def test_a_file_removed_under_an_open_queue_is_made_again(queue: SqliteQueue) -> None:
    send(queue, "lost")
    for path in queue.path.parent.iterdir():
        path.unlink()
    send(queue, "kept")
    assert receive(queue) == ["kept"]


def test_a_queue_that_must_exist_is_never_made(tmp_path: Path) -> None:
    path = tmp_path / "q.db"
    found = SqliteQueue(path, create=False)
    with pytest.raises(QueueNotFoundError):
        send(found, "a")
    assert list(tmp_path.iterdir()) == []
    made = SqliteQueue(path)
    send(made, "a")
    assert receive(found) == ["a"]
    path.unlink()
    with pytest.raises(QueueNotFoundError):
        found.depth()


def test_the_file_shrinks_when_the_queue_is_drained(tmp_path: Path) -> None:
    queue = SqliteQueue(tmp_path / "q.db", durable=False, max_body_bytes=10**6)
    for _ in range(30):
        send(queue, *(["x" * 100_000] * 10))
    full = sum(path.stat().st_size for path in tmp_path.iterdir())
    drain(queue)
    assert full > 30_000_000
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1_000_000


def test_a_busy_queue_does_not_grow(tmp_path: Path) -> None:
    queue = SqliteQueue(tmp_path / "q.db", durable=False, max_body_bytes=10**6)
    send(queue, "stays", group="z")
    receive(queue)
    for _ in range(300):
        send(queue, *(["x" * 30_000] * 10))
        received = queue.receive(10, lease_s=LEASE_S)
        queue.delete([message.receipt for message in received])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 40_000_000


def test_a_corrupt_file_is_named_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "q.db"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(BackendError, match=r"q\.db.*not a database") as caught:
        SqliteQueue(path).depth()
    assert "--resume" in caught.value.remedy


def test_a_damaged_file_is_named_with_a_repair(tmp_path: Path) -> None:
    path = tmp_path / "q.db"
    queue = SqliteQueue(path)
    send(queue, *(f"message {n}" * 20 for n in range(1000)))
    queue.close()
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(BackendError, match="malformed") as caught:
        drain(SqliteQueue(path))
    assert caught.value.remedy


def test_a_full_disk_is_reported_and_loses_nothing(queue: SqliteQueue) -> None:
    send(queue, "before")
    with queue._database.reading() as connection:
        connection.execute("PRAGMA max_page_count=20")
    with pytest.raises(BackendUnavailableError, match="full") as caught:
        send(queue, *(["x" * 40_000] * 10))
    assert "space" in caught.value.remedy
    assert drain(queue) == ["before"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionDeniedError, match="denied") as caught:
            send(SqliteQueue(tmp_path / "q.db"), "a")
    finally:
        tmp_path.chmod(0o700)
    assert "--home" in caught.value.remedy


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_only_a_durable_send_waits_for_the_disk(tmp_path: Path, durable: bool, level: int) -> None:
    """Level 2 (FULL) syncs the log at each commit, 1 (NORMAL) before it is copied back only."""
    queue = SqliteQueue(tmp_path / "q.db", durable=durable)

    def sync_level() -> int:
        with queue._database.reading() as connection:
            return int(connection.execute("PRAGMA synchronous").fetchone()[0])

    send(queue, "a")
    assert sync_level() == level
    received = queue.receive(1, lease_s=LEASE_S)
    assert sync_level() == 1
    send(queue, "b")
    assert sync_level() == level
    queue.delete([message.receipt for message in received])
    assert sync_level() == 1


def test_a_fork_waits_for_threads_that_move_dead_letters(tmp_path: Path) -> None:
    dead = SqliteQueue(tmp_path / "dead.db", durable=False)
    queue = SqliteQueue(tmp_path / "q.db", max_receives=1, dead_letters=dead, durable=False)
    done = threading.Event()

    def bury() -> None:
        while not done.is_set():
            send(queue, "a")
            queue.release([message.receipt for message in queue.receive(1, lease_s=LEASE_S)])
            receive(queue)

    thread = threading.Thread(target=bury)
    thread.start()
    try:
        for _ in range(300):
            _before_fork()
            _after_fork()
    finally:
        done.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert queue.depth().total <= 1


def test_a_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "q.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BackendError):
        send(SqliteQueue(tmp_path / "q.db"), "a")
    assert not (tmp_path / "elsewhere").exists()


def test_a_writer_that_never_ends_makes_others_give_up(
    queue: SqliteQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iraas.backends.local.sqlite_database.BUSY_TIMEOUT_S", 0.2)
    send(queue, "a")
    queue.close()
    blocker = sqlite3.connect(queue.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(BackendUnavailableError, match="locked"):
            send(queue, "b")
    finally:
        blocker.close()
    send(queue, "b")
    assert receive(queue) == ["a", "b"]


def test_threads_may_share_one_object(queue: SqliteQueue) -> None:
    def work(name: int) -> None:
        for n in range(50):
            send(queue, f"{name}-{n}", group=str(name))
            received = queue.receive(2, lease_s=LEASE_S)
            seen.extend(message.body for message in received)
            queue.delete([message.receipt for message in received])

    seen: list[str] = []
    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    seen += drain(queue)
    assert sorted(seen) == sorted(f"{name}-{n}" for name in range(4) for n in range(50))
