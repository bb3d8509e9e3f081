"""The SQLite queue under many processes, killed at any moment, and across forks."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iraas.backends.local.sqlite_queue import SqliteQueue
from iraas.core.ports import OutboundMessage
from tests.waiting import PATIENCE_S, wait_until

IMPORTS = """
import os, sys
from pathlib import Path
from iraas.backends.local.sqlite_queue import SqliteQueue
from iraas.core.ports import OutboundMessage
queue = SqliteQueue(Path(sys.argv[1]))
"""

RECEIVER = (
    IMPORTS
    + """
log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
print("ready", flush=True)
lease_s, forever = float(sys.argv[3]), sys.argv[4] == "forever"
while True:
    batch = queue.receive(10, lease_s=lease_s, wait_s=0.5)
    if not batch and not forever:
        break
    for message in batch:
        os.write(log, (message.body + "\\n").encode())
    queue.delete([message.receipt for message in batch])
"""
)

SENDER = (
    IMPORTS
    + """
print("ready", flush=True)
n = 0
while True:
    bodies = [f"{os.getpid()}-{n + k}" for k in range(5)]
    queue.send([OutboundMessage(body, "g") for body in bodies])
    print("\\n".join(bodies), flush=True)
    n += 5
"""
)

FORKER = (
    IMPORTS
    + """
queue.send([OutboundMessage("before")])
children = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        for n in range(100):
            queue.send([OutboundMessage(f"{child}-{n}")])
            queue.depth()
        os._exit(0)
    children.append(pid)
for n in range(100):
    queue.send([OutboundMessage(f"parent-{n}")])
queue.close()
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""
)


@contextmanager
def running(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def check_integrity(path: Path) -> None:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        totals = connection.execute(
            "SELECT total(visible), total(leased + delayed) FROM groups"
        ).fetchone()
        counted = "SELECT total(due IS NULL), total(due IS NOT NULL) FROM messages"
        assert totals == connection.execute(counted).fetchone()
        orphans = "SELECT count(*) FROM contents WHERE id NOT IN (SELECT id FROM messages)"
        assert connection.execute(orphans).fetchone() == (0,)
    finally:
        connection.close()


def test_four_processes_receive_each_of_two_thousand_messages_once(tmp_path: Path) -> None:
    path = tmp_path / "q.db"
    queue = SqliteQueue(path)
    bodies = [f"m{n}" for n in range(2000)]
    queue.send([OutboundMessage(body, "g") for body in bodies])
    logs = [tmp_path / f"log{n}" for n in range(4)]
    processes = [
        subprocess.Popen([sys.executable, "-c", RECEIVER, path, log, "60", "once"]) for log in logs
    ]
    for process in processes:
        assert process.wait(timeout=120) == 0
    received = [line for log in logs for line in log.read_text().split()]
    assert sorted(received) == sorted(bodies)
    assert queue.depth().total == 0
    check_integrity(path)


def kill_after(
    process: subprocess.Popen[str], seconds: float, *, reads_first: bool = False
) -> list[str]:
    """SIGKILL a process some time after it is ready, or after its first line beyond that.

    Returns the whole lines that it printed.
    """
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    said = [process.stdout.readline()] if reads_first else []
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    said += process.stdout.readlines()
    return [line.strip() for line in said if line.endswith("\n")]


def test_killed_senders_and_receivers_lose_no_acknowledged_message(tmp_path: Path) -> None:
    path, log = tmp_path / "q.db", tmp_path / "log"
    chance = random.Random(7)
    acknowledged: list[str] = []
    for _ in range(4):
        with (
            running(SENDER, path) as first,
            running(SENDER, path) as second,
            running(RECEIVER, path, log, "0.3", "forever") as third,
        ):
            acknowledged += kill_after(first, chance.uniform(0.0, 0.15), reads_first=True)
            kill_after(third, chance.uniform(0.0, 0.1))
            acknowledged += kill_after(second, chance.uniform(0.0, 0.1), reads_first=True)
        check_integrity(path)
    queue = SqliteQueue(path)
    with running(RECEIVER, path, log, "30", "once") as last:
        last.wait(PATIENCE_S)
    assert queue.depth().total == 0
    seen = set(log.read_text().split())
    assert len(acknowledged) >= 8
    assert set(acknowledged) <= seen


def test_a_queue_may_be_open_while_its_process_forks(tmp_path: Path) -> None:
    path = tmp_path / "q.db"
    subprocess.run([sys.executable, "-c", FORKER, path], check=True, timeout=120)
    assert SqliteQueue(path).depth().visible == 401
    check_integrity(path)


def test_a_child_of_a_fork_keeps_the_log_from_others_who_close(tmp_path: Path) -> None:
    """The lock that says "this file is in use" must be the child's own after a fork."""
    path = tmp_path / "q.db"
    queue = SqliteQueue(path)
    queue.send([OutboundMessage("a")])
    reading, writing = os.pipe()
    release_reading, release_writing = os.pipe()
    script = (
        IMPORTS
        + f"""
queue.depth()
if os.fork() == 0:
    queue.send([OutboundMessage("b")])
    os.write({writing}, b"x")
    os.read({release_reading}, 1)
    queue.send([OutboundMessage("c")])
    os._exit(0)
os._exit(0)
"""
    )
    command = [sys.executable, "-c", script, str(path)]
    subprocess.run(command, check=True, timeout=60, pass_fds=(writing, release_reading))
    os.read(reading, 1)
    queue.close()
    other = SqliteQueue(path)
    other.depth()
    other.close()
    wal = path.with_name("q.db-wal")
    assert wal.exists(), "the last to close removes the log; the child has it open"
    os.write(release_writing, b"x")
    wait_until(lambda: queue.depth().visible == 3, "three messages")
    for descriptor in (reading, writing, release_reading, release_writing):
        os.close(descriptor)
