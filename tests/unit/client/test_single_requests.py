"""Single images share a rolling job."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from iraas.client.batch_sender import BatchSender
from iraas.client.single_requests import SingleRequestClient
from iraas.core.ids import split_request_id
from iraas.core.messages import decode_request
from iraas.jobs.store import iter_manifest, list_jobs
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.scripted_classifier import image_bytes


class Shop:
    """Sends images one by one, from a thread of its batcher's."""

    def __init__(self, **options: float) -> None:
        self.clock = Clock()
        self.backend = FlakyBackend(self.clock)
        self.requester = "web-1"
        self.batcher = BatchSender(self.backend, threads=1)
        self.batcher.start()
        self.singles = SingleRequestClient(
            self.backend,
            self.batcher,
            requester_id=lambda: self.requester,
            clock=self.clock,
            **options,  # type: ignore[arg-type]
        )
        self.expected: list[str] = []

    def send(self, name: str) -> str:
        return self.singles.send(
            name, image_bytes("cat"), register=self.expected.append, on_sent=lambda _: None
        )

    def jobs(self) -> list[tuple[int, bool, list[str]]]:
        found = []
        for one in list_jobs(self.backend):
            names = [entry.name for entry in iter_manifest(self.backend, one.job)]
            found.append((one.job.total, one.job.sealed, names))
        return found


@pytest.fixture
def open_shop() -> Iterator[Callable[..., Shop]]:
    """Opens shops, whose threads end with the test."""
    with ExitStack() as stack:

        def make(**options: float) -> Shop:
            shop = Shop(**options)
            stack.callback(shop.batcher.stop)
            return shop

        yield make


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    return open_shop()


def test_each_gets_an_index_and_is_registered_before_it_is_sent(shop: Shop) -> None:
    found = [shop.send(name) for name in "abc"]
    assert shop.expected == found
    assert [split_request_id(one)[1] for one in found] == [0, 1, 2]
    assert len({split_request_id(one)[0] for one in found}) == 1


def test_the_job_is_on_record_before_its_first_image_is_on_the_queue(shop: Shop) -> None:
    shop.send("a")
    shop.batcher.stop()
    assert shop.jobs() == [(0, False, [])]
    assert shop.backend.requests.depth().total == 1


def test_the_manifest_follows_and_is_whole_at_the_end(shop: Shop) -> None:
    for name in "abc":
        shop.send(name)
    shop.singles.flush()
    assert shop.jobs() == [(3, False, ["a", "b", "c"])]
    shop.send("d")
    shop.singles.close()
    assert shop.jobs() == [(4, True, ["a", "b", "c", "d"])]


def test_failed_writes_are_retried_later(shop: Shop) -> None:
    shop.send("a")
    shop.batcher.stop()
    shop.backend.records.failures = 1
    with pytest.raises(Exception, match="unavailable"):
        shop.singles.flush()
    shop.singles.flush()
    assert shop.jobs() == [(1, False, ["a"])]


def test_another_job_begins_after_so_many_or_so_long(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(max_job_images=2, max_job_age_s=60.0)
    for name in "abc":
        shop.send(name)
        shop.clock.advance(1)  # jobs of one millisecond sort as chance has it
    shop.clock.advance(100)
    shop.send("d")
    shop.singles.close()
    assert shop.jobs() == [(2, True, ["a", "b"]), (1, True, ["c"]), (1, True, ["d"])]


def test_replies_go_to_the_current_response_queue(shop: Shop) -> None:
    shop.send("a")
    shop.requester = "web-2"
    shop.send("b")
    shop.batcher.stop()
    messages = shop.backend.requests.receive(10, lease_s=30)
    found = {one.name: one.reply_to for one in (decode_request(m.body) for m in messages)}
    assert found == {"a": "web-1", "b": "web-2"}
