"""The contract of `iraas.core.ports.ObjectStore`."""

import threading
from collections.abc import Callable, Iterator

import pytest

from iraas.core.ports import Backend, ObjectStore
from iraas.errors import ObjectNotFoundError
from tests.waiting import join

HOSTILE_KEYS = [
    "",
    "/",
    "/etc/passwd",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    ".hidden",
    "a/.hidden",
    "a b",
    "a\x00b",
    "a\nb",
    "a\n",
    "a\\b",
    "ä",
    "a" * 513,
    "~root",
    "-rf",
]


def keys(store: ObjectStore, prefix: str = "", after: str = "") -> list[str]:
    return [found.key for found in store.list(prefix, after=after)]


@pytest.mark.parametrize("size", [0, 1, 5000, 3_000_000])
def test_an_object_is_read_as_it_was_stored(store: ObjectStore, size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    store.put("a/b.bin", data)
    assert store.get("a/b.bin") == data


def test_put_replaces_the_whole_object(store: ObjectStore) -> None:
    store.put("a/b", b"a long first version")
    store.put("a/b", b"short")
    assert store.get("a/b") == b"short"


def test_a_missing_object_is_not_found(store: ObjectStore) -> None:
    store.put("a/b", b"x")
    for key in ("a", "a/c", "a/b/c", "x/y/z"):
        with pytest.raises(ObjectNotFoundError):
            store.get(key)


def test_put_if_absent_stores_once(store: ObjectStore) -> None:
    assert store.put_if_absent([("a/b", b"first")]) == [True]
    assert store.put_if_absent([("a/b", b"second")]) == [False]
    assert store.get("a/b") == b"first"


def test_put_if_absent_does_not_replace_an_object(store: ObjectStore) -> None:
    store.put("a", b"first")
    assert store.put_if_absent([("a", b"second")]) == [False]
    assert store.get("a") == b"first"


def test_put_if_absent_reports_on_each_object(store: ObjectStore) -> None:
    store.put("j/1", b"old")
    batch = [(f"j/{n}", b"new") for n in range(4)]
    assert store.put_if_absent(batch) == [True, False, True, True]
    assert [store.get(f"j/{n}") for n in range(4)] == [b"new", b"old", b"new", b"new"]


def test_put_if_absent_takes_any_number(store: ObjectStore) -> None:
    assert store.put_if_absent([]) == []
    batch = [(f"j/{n % 3}/{n}", str(n).encode()) for n in range(75)]
    assert store.put_if_absent(batch) == [True] * 75
    assert len(keys(store)) == 75


def test_of_one_key_twice_in_a_batch_the_first_wins(store: ObjectStore) -> None:
    assert store.put_if_absent([("a", b"1"), ("a", b"2")]) == [True, False]
    assert store.get("a") == b"1"


def test_of_many_writers_at_once_exactly_one_wins(store: ObjectStore, rival: Backend) -> None:
    names = [f"race/{n}" for n in range(10)]
    wins: dict[str, list[bytes]] = {name: [] for name in names}
    start = threading.Barrier(6)

    def write(writer: int) -> None:
        mine = store if writer % 2 else rival.outputs
        data = f"{writer}".encode() * 1000
        start.wait()
        stored = mine.put_if_absent([(name, data) for name in names])
        for name, won in zip(names, stored, strict=True):
            if won:
                wins[name].append(data)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    join(*threads)
    for name in names:
        assert [store.get(name)] == wins[name]


def test_a_listing_gives_keys_and_sizes_in_order(store: ObjectStore) -> None:
    stored = ["a/b", "a-b/c", "a.b", "a0", "A/z", "a/b0", "a/b.c", "b/c/d/e", "b/c-d", "b/c.d"]
    for key in stored:
        store.put(key, key.encode())
    found = list(store.list())
    assert [one.key for one in found] == sorted(stored)
    assert all(one.size_bytes == len(one.key) for one in found)
    assert all(one.modified_at > 1_600_000_000 for one in found)


def test_a_prefix_ends_with_a_whole_segment(store: ObjectStore) -> None:
    for key in ("j/1", "j/2/3", "j2/1", "jj"):
        store.put(key, b"")
    assert keys(store, "j/") == ["j/1", "j/2/3"]
    assert keys(store, "j/2/") == ["j/2/3"]


def test_nothing_is_listed_under_a_prefix_that_is_not_there(store: ObjectStore) -> None:
    assert keys(store, "nothing/") == []
    store.put("a", b"")
    assert keys(store, "nothing/") == []
    assert keys(store, "a/") == []


@pytest.mark.parametrize(
    ("after", "left"),
    [
        ("", ["a/1", "a/2", "b-c", "b/1", "b/2/x", "c"]),
        ("a/1", ["a/2", "b-c", "b/1", "b/2/x", "c"]),
        ("a/zzz", ["b-c", "b/1", "b/2/x", "c"]),
        ("b", ["b-c", "b/1", "b/2/x", "c"]),
        ("b/1", ["b/2/x", "c"]),
        ("b/2", ["b/2/x", "c"]),
        ("b/2/x", ["c"]),
        ("z", []),
    ],
)
def test_a_listing_may_start_after_a_key(store: ObjectStore, after: str, left: list[str]) -> None:
    for key in ("a/1", "a/2", "b-c", "b/1", "b/2/x", "c"):
        store.put(key, b"")
    assert keys(store, after=after) == left


def test_a_prefix_and_a_start_go_together(store: ObjectStore) -> None:
    for key in ("a/1", "b/1", "b/2", "c/1"):
        store.put(key, b"")
    assert keys(store, "b/", after="b/1") == ["b/2"]
    assert keys(store, "b/", after="a/9") == ["b/1", "b/2"]
    assert keys(store, "b/", after="c") == []


def test_a_listing_is_lazy(store: ObjectStore) -> None:
    store.put_if_absent([(f"j/{n:02d}/{m}", b"") for n in range(5) for m in range(5)])
    listing = store.list()
    assert isinstance(listing, Iterator)
    assert next(listing).key == "j/00/0"


def test_a_listing_tolerates_concurrent_changes(store: ObjectStore) -> None:
    store.put_if_absent([(f"j/{n:02d}", b"") for n in range(20)])
    listing = store.list()
    first = next(listing).key
    store.delete([f"j/{n:02d}" for n in range(10)])
    store.put("j/99", b"")
    rest = [found.key for found in listing]
    assert first == "j/00"
    assert [key for key in rest if "j/10" <= key <= "j/19"] == [f"j/{n}" for n in range(10, 20)]


def test_a_deleted_object_is_gone(store: ObjectStore) -> None:
    store.put("a/b/c", b"x")
    store.put("a/d", b"y")
    store.delete(["a/b/c"])
    with pytest.raises(ObjectNotFoundError):
        store.get("a/b/c")
    assert keys(store) == ["a/d"]


def test_delete_is_idempotent_and_takes_any_number(store: ObjectStore) -> None:
    store.put_if_absent([(f"j/{n}", b"") for n in range(30)])
    everything = [f"j/{n}" for n in range(30)] + ["j/none", "none/at/all"]
    store.delete(everything)
    store.delete(everything)
    store.delete([])
    assert keys(store) == []


def test_a_deleted_key_may_be_stored_again(store: ObjectStore) -> None:
    store.put_if_absent([("a/b/c", b"1")])
    store.delete(["a/b/c"])
    assert store.put_if_absent([("a/b/c", b"2")]) == [True]
    assert store.get("a/b/c") == b"2"


def test_storing_tolerates_concurrent_deletes_nearby(store: ObjectStore, rival: Backend) -> None:
    failures: list[BaseException] = []

    def churn(own: ObjectStore, name: str) -> None:
        try:
            for _ in range(25):
                assert own.put_if_absent([(f"x/y/{name}", b"1")]) == [True]
                own.put(f"x/z/{name}", b"2")
                assert own.get(f"x/y/{name}") == b"1"
                own.delete([f"x/y/{name}", f"x/z/{name}"])
        except BaseException as exc:  # noqa: BLE001 - the test reports the thread's failure
            failures.append(exc)

    mine = [(store, "a"), (rival.outputs, "b"), (store, "c")]
    threads = [threading.Thread(target=churn, args=pair) for pair in mine]
    for thread in threads:
        thread.start()
    join(*threads)
    assert failures == []
    assert keys(store) == []


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_an_invalid_key_is_refused(store: ObjectStore, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.put(key, b""),
        lambda: store.put_if_absent([("good", b""), (key, b"")]),
        lambda: store.get(key),
        lambda: store.delete(["good", key]),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="not a store key"):
            call()
    assert keys(store) == []


def test_the_stores_are_separate(backend: Backend) -> None:
    backend.inputs.put("a", b"in")
    backend.outputs.put("a", b"out")
    assert backend.inputs.get("a") == b"in"
    assert keys(backend.records) == []


def test_two_backends_of_a_deployment_share_its_stores(store: ObjectStore, rival: Backend) -> None:
    store.put("a", b"x")
    assert rival.outputs.get("a") == b"x"
