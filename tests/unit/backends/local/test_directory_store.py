"""The directory store beyond the contract: links, leftovers, kills, memory, errors."""

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import NoReturn

import pytest

from iraas.backends.local.directory_store import DRAFTS, DirectoryStore
from iraas.errors import BackendError, BackendUnavailableError, ObjectNotFoundError
from tests.waiting import join

WRITER = """
import os, sys
from pathlib import Path
from iraas.backends.local.directory_store import DirectoryStore
store = DirectoryStore(Path(sys.argv[1]), anonymous_files=sys.argv[2] == "anonymous")
mark = sys.argv[3].encode()
print("ready", flush=True)
for n in range(100_000):
    batch = [(f"job/{n:05d}/{k}", mark * 20_000) for k in range(4)]
    stored = store.put_if_absent(batch)
    store.put(f"latest/{sys.argv[3]}", b"%09d" % n * 1000)
    for (key, _), won in zip(batch, stored):
        print(key, won, flush=True)
"""


@pytest.fixture(params=["anonymous", "named"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> DirectoryStore:
    """Stores with and without the system's anonymous files."""
    return DirectoryStore(tmp_path / "outputs", anonymous_files=request.param == "anonymous")


def test_naming_a_store_touches_nothing(store: DirectoryStore) -> None:
    assert list(store.list()) == []
    store.delete(["a/b"])
    with pytest.raises(ObjectNotFoundError):
        store.get("a/b")
    assert not store.root.exists()


def test_an_object_is_a_file_that_a_person_finds(store: DirectoryStore) -> None:
    store.put_if_absent([("job/00000/00000001.json", b"{}")])
    path = store.root / "job" / "00000" / "00000001.json"
    assert path.read_bytes() == b"{}"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0


def test_storing_leaves_no_draft(store: DirectoryStore) -> None:
    store.put("a", b"1")
    store.put_if_absent([("a", b"2"), ("b/c", b"3"), ("b/c", b"4")])
    drafts = store.root / DRAFTS
    assert not drafts.exists() or list(drafts.iterdir()) == []


def test_a_failed_write_leaves_no_draft_and_no_object(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("there", b"1")

    def full(_descriptor: int, _data: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(BackendUnavailableError, match="space") as caught:
            store.put("a/b", b"x")
        assert "Free some space" in caught.value.remedy
        with pytest.raises(BackendUnavailableError, match="space"):
            store.put_if_absent([("a/b", b"x")])
    assert [found.key for found in store.list()] == ["there"]
    drafts = store.root / DRAFTS
    assert not drafts.exists() or list(drafts.iterdir()) == []


def test_deleting_removes_folders_that_are_empty_and_no_others(store: DirectoryStore) -> None:
    store.put_if_absent([("a/b/c", b""), ("a/d", b""), ("e/f/g", b"")])
    store.delete(["a/b/c", "e/f/g"])
    assert (store.root / "a" / "d").is_file()
    assert not (store.root / "a" / "b").exists()
    assert not (store.root / "e").exists()
    store.delete(["a/d"])
    assert store.root.is_dir()


def test_links_inside_are_not_followed(store: DirectoryStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    store.put("real", b"x")
    (store.root / "folder").symlink_to(outside)
    (store.root / "file").symlink_to(outside / "secret")
    for key in ("folder/secret", "file"):
        with pytest.raises(ObjectNotFoundError):
            store.get(key)
    for key in ("folder/new", "folder/secret"):
        with pytest.raises(BackendError):
            store.put(key, b"x")
        with pytest.raises(BackendError):
            store.put_if_absent([(key, b"x")])
    with pytest.raises(BackendError):
        store.put_if_absent([("file", b"x")])
    store.put("file", b"replaced the link itself")
    store.delete(["folder/secret"])
    assert [found.key for found in store.list()] == ["file", "real"]
    assert list(store.list("folder/")) == []
    assert (outside / "secret").read_bytes() == b"secret"
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_a_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "outputs").symlink_to(tmp_path / "disk")
    store = DirectoryStore(tmp_path / "outputs")
    store.put_if_absent([("a/b", b"x")])
    assert (tmp_path / "disk" / "a" / "b").read_bytes() == b"x"


def test_files_that_no_key_can_name_are_not_listed(store: DirectoryStore) -> None:
    store.put("a", b"")
    for name in (".hidden", "with space", "tilde~", "ünïcode"):
        (store.root / name).write_bytes(b"x")
    os.mkfifo(store.root / "pipe")
    assert [found.key for found in store.list()] == ["a"]
    with pytest.raises(ObjectNotFoundError):
        store.get("pipe")


def test_a_key_cannot_be_a_folder_and_an_object(store: DirectoryStore) -> None:
    store.put("a/b", b"x")
    for key in ("a", "a/b/c"):
        with pytest.raises(BackendError):
            store.put(key, b"")
    with pytest.raises(BackendError):
        store.put_if_absent([("a", b"")])
    with pytest.raises(ObjectNotFoundError):
        store.get("a")


def test_a_segment_too_long_for_the_filesystem_is_an_error(store: DirectoryStore) -> None:
    key = "a" * 300
    with pytest.raises(BackendError, match="too long"):
        store.put(key, b"")
    with pytest.raises(ObjectNotFoundError):
        store.get(key)
    store.delete([key])


def test_a_prefix_is_whole_segments(store: DirectoryStore) -> None:
    with pytest.raises(ValueError, match="end with /"):
        store.list("a")
    with pytest.raises(ValueError, match="not a store key"):
        store.list("../")


def test_drafts_of_writers_killed_long_ago_are_swept(tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    drafts = root / DRAFTS
    drafts.mkdir(parents=True)
    for name, age_s in (("old", 7200), ("young", 60)):
        (drafts / name).write_bytes(b"x")
        now = (drafts / name).stat().st_mtime
        os.utime(drafts / name, (now - age_s, now - age_s))
    DirectoryStore(root).put("a", b"")
    assert [path.name for path in drafts.iterdir()] == ["young"]


def test_listing_many_objects_takes_little_memory(tmp_path: Path) -> None:
    for shard in range(8):
        folder = tmp_path / f"{shard:05d}"
        folder.mkdir()
        for n in range(250):
            (folder / f"{n:08d}.json").touch()
    store = DirectoryStore(tmp_path)
    tracemalloc.start()
    try:
        assert sum(1 for _ in store.list()) == 2000
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 300_000  # all at once take more than 400,000


def test_a_batch_syncs_its_folder_once_and_each_file(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_if_absent([("job/00000/first", b"")])
    synced: list[bool] = []
    real_sync = os.fsync

    def count(descriptor: int) -> None:
        synced.append(os.path.isdir(f"/proc/self/fd/{descriptor}"))  # noqa: PTH112 - a descriptor
        real_sync(descriptor)

    monkeypatch.setattr(os, "fsync", count)
    store.put_if_absent([(f"job/00000/{n}", b"x") for n in range(8)])
    assert sorted(synced) == [False] * 8 + [True]


def wins(*lines: str, mark: str) -> list[tuple[str, str]]:
    """The keys that a writer reports as stored, with its mark."""
    return [(line.split()[0], mark) for line in lines if line.endswith(" True\n")]


@pytest.mark.parametrize("way", ["anonymous", "named"])
def test_killed_writers_leave_whole_objects_and_one_winner(way: str, tmp_path: Path) -> None:
    chance = random.Random(11)
    marks = "abcd"
    winners: list[tuple[str, str]] = []
    for _ in range(2):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, tmp_path, way, mark],
                stdout=subprocess.PIPE,
                text=True,
            )
            for mark in marks
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for mark, writer in zip(marks, writers, strict=True):
            assert writer.stdout is not None
            winners += wins(writer.stdout.readline(), mark=mark)
        for writer in chance.sample(writers, len(writers)):
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(timeout=chance.uniform(0.0, 0.1))
            writer.send_signal(signal.SIGKILL)
        for mark, writer in zip(marks, writers, strict=True):
            with writer:
                assert writer.stdout is not None
                winners += wins(*writer.stdout.readlines(), mark=mark)
    store = DirectoryStore(tmp_path)
    assert winners
    assert len({key for key, _ in winners}) == len(winners), "two writers got True for the same key"
    for key, mark in winners:
        assert store.get(key) == mark.encode() * 20_000
    for found in store.list("job/"):
        assert found.size_bytes == 20_000
        assert len(set(store.get(found.key))) == 1
    for found in store.list("latest/"):
        assert len({store.get(found.key)[n : n + 9] for n in range(0, 9000, 9)}) == 1


def test_many_threads_share_a_store(store: DirectoryStore) -> None:
    wins: list[str] = []

    def work() -> None:
        for n in range(30):
            key = f"j/{n % 3}/{n}"
            if store.put_if_absent([(key, b"x")]) == [True]:
                wins.append(key)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    join(*threads)
    assert sorted(wins) == sorted(f"j/{n % 3}/{n}" for n in range(30))
