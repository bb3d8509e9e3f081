"""Records are fetched again only when they may have changed."""

from iraas.backends.memory import MemoryStore
from iraas.errors import MessageError
from iraas.monitoring.record_cache import SETTLED_S, RecordCache
from tests.fakes.clock import Clock


class CountingStore(MemoryStore):
    """A store that counts its reads."""

    reads = 0

    def get(self, key: str) -> bytes:
        self.reads += 1
        return super().get(key)


def decode(data: bytes) -> str:
    if data == b"corrupt":
        raise MessageError("it is corrupt")
    return data.decode()


def test_a_record_that_stays_as_it_is_is_fetched_once() -> None:
    clock = Clock()
    store = CountingStore(clock=clock)
    reader = RecordCache(store, "a/", decode, clock)
    store.put("a/1", b"one")
    store.put("a/2", b"corrupt")
    store.put("b/1", b"other")
    clock.advance(SETTLED_S + 1)
    for _ in range(5):
        assert reader.read() == ["one"]
    assert store.reads == 2


def test_a_recent_record_is_fetched_at_each_read() -> None:
    clock = Clock()
    store = CountingStore(clock=clock)
    reader = RecordCache(store, "a/", decode, clock)
    store.put("a/1", b"one")
    assert reader.read() == ["one"]
    store.put("a/1", b"uno")  # as long, and written at the same moment
    assert reader.read() == ["uno"]


def test_a_record_that_changes_or_goes_is_noticed() -> None:
    clock = Clock()
    store = CountingStore(clock=clock)
    reader = RecordCache(store, "a/", decode, clock)
    store.put("a/1", b"one")
    clock.advance(SETTLED_S + 1)
    reader.read()
    store.put("a/1", b"two")
    assert reader.read() == ["two"]
    store.delete(["a/1"])
    assert reader.read() == []
