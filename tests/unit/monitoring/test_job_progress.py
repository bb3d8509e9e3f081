"""Progress of a job, from replies and from the stores."""

from dataclasses import replace

import pytest

from iraas.client.retry import retry_failures
from iraas.client.sender import Sender
from iraas.core.ids import request_id
from iraas.core.index_set import IndexSet
from iraas.core.keys import job_key, outcome_key
from iraas.core.outcomes import Outcome
from iraas.errors import JobNotFoundError
from iraas.jobs.uploads import JobRepository
from iraas.monitoring.job_progress import KEPT_OUTCOMES, JobProgress
from iraas.monitoring.job_progress_cache import JobProgressCache
from tests.effects import lines_run
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import outcome
from tests.fakes.scripted_classifier import image_bytes


class Shop:
    """A job of some images, with the steps that complete them."""

    def __init__(self, total: int) -> None:
        self.clock = Clock()
        self.backend = FlakyBackend(self.clock)
        uploads = JobRepository(self.backend, self.clock)
        self.job_id = uploads.open().job_id
        for start in range(0, total, 7):
            uploads.add(self.job_id, [f"n{n}" for n in range(start, min(start + 7, total))])
        self.job = uploads.seal(self.job_id)
        self.sender = Sender(self.backend, self.job, reply_to="", clock=self.clock)
        self.board = JobProgressCache(self.backend, self.clock)

    def view(self) -> JobProgress:
        return self.board.view(self.job_id)

    def outcome(self, index: int, *, ok: bool = True) -> Outcome:
        self.clock.advance(1)
        asked = self.sender._request(index, f"n{index}", image=image_bytes("cat"))
        return outcome(asked, "cat" if ok else None, reason="" if ok else "it is broken")

    def store(self, index: int, *, ok: bool = True) -> Outcome:
        found = self.outcome(index, ok=ok)
        self.backend.outputs.put(outcome_key(found.request_id), found.encode())
        return found


def indexes(view: JobProgress, **options: object) -> list[int]:
    asked = {"after": -1, "limit": 1000, "kind": "all"} | options
    return [one.index for one in view.images(**asked)]  # type: ignore[arg-type]


def test_a_view_is_rebuilt_from_the_stores() -> None:
    shop = Shop(20)
    for index in (3, 4, 9):
        shop.store(index, ok=index != 4)
    view = shop.view()
    summary = view.summary()
    assert (summary.job.total, summary.done, summary.failed) == (20, 3, 1)
    assert (summary.state, summary.is_counted) == ("working", True)
    assert indexes(view) == list(range(20))
    assert indexes(view, kind="ok") == [3, 9]
    assert indexes(view, kind="failed") == [4]
    assert indexes(view, kind="waiting", after=4, limit=3) == [5, 6, 7]
    assert [one.name for one in view.images(after=8, limit=3)] == ["n9", "n10", "n11"]


def test_a_reply_counts_before_the_store_is_polled() -> None:
    shop = Shop(2)
    view = shop.view()
    view.record(shop.outcome(1, ok=False))
    assert (view.summary().done, view.summary().failed) == (1, 1)
    assert [one.request_id[-1] for one in view.news(IndexSet(), 10)] == ["1"]


def test_a_reply_of_another_job_is_ignored() -> None:
    shop, other = Shop(2), Shop(2)
    view = shop.view()
    assert other.job_id != shop.job_id
    view.record(other.outcome(0))
    assert view.summary().done == 0


def test_new_outcomes_are_ordered_and_bounded() -> None:
    shop = Shop(2000)
    for index in range(0, 2000, 3):
        shop.store(index)
    view, seen = shop.view(), IndexSet()
    received: list[int] = []
    while news := view.news(seen, 100):
        assert len(news) <= 100
        for one in news:
            seen.add(int(one.request_id[-8:]))
            received.append(int(one.request_id[-8:]))
    assert received == list(range(0, 2000, 3))
    assert len(view._latest) <= KEPT_OUTCOMES


def test_a_failure_that_was_removed_is_waiting_again() -> None:
    shop = Shop(3)
    failed = shop.store(1, ok=False)
    view = shop.view()
    assert view.summary().failed == 1
    shop.backend.outputs.delete([outcome_key(failed.request_id)])
    view = shop.view()
    assert (view.summary().done, view.summary().failed) == (0, 0)
    assert indexes(view, kind="waiting") == [0, 1, 2]


def test_a_failure_that_became_a_success_between_two_polls_is_noticed() -> None:
    shop = Shop(2)
    shop.store(0, ok=False)
    view = shop.view()
    assert view.summary().failed == 1
    shop.store(0)
    view = shop.view()
    assert (view.summary().done, view.summary().failed) == (1, 0)
    image = view.image(0)
    assert image is not None
    assert image.outcome is not None
    assert image.outcome.status == "ok"


def test_a_corrupt_outcome_is_no_outcome() -> None:
    shop = Shop(2)
    found = shop.store(0)
    shop.backend.outputs.put(outcome_key(found.request_id), b"{")
    assert shop.view().images(after=-1, limit=1)[0].outcome is None


def test_a_missing_job_is_not_cached() -> None:
    shop = Shop(1)
    with pytest.raises(JobNotFoundError):
        shop.board.view("01kb3v9x4q0000000000000000")
    assert not shop.board._views


def test_a_recent_poll_is_reused() -> None:
    shop = Shop(2)
    shop.view()
    shop.store(0)
    assert shop.board.view(shop.job_id, older_than_s=10).summary().done == 0
    shop.clock.advance(11)
    assert shop.board.view(shop.job_id, older_than_s=10).summary().done == 1


def test_a_retry_sends_stored_images_and_skips_missing_ones() -> None:
    shop = Shop(3)
    for index in (0, 1):
        shop.store(index, ok=False)
    shop.store(2)
    shop.backend.inputs.put(f"{shop.job_id}/00000/00000000.jpg", image_bytes("cat"))
    assert retry_failures(shop.backend, shop.view(), shop.sender) == [0]
    assert shop.backend.requests.depth().total == 1
    assert indexes(shop.view(), kind="waiting") == [0]
    assert indexes(shop.view(), kind="failed") == [1]


def test_a_retry_that_was_interrupted_is_finished_by_the_next() -> None:
    shop = Shop(2)
    shop.store(0, ok=False)
    shop.backend.inputs.put(f"{shop.job_id}/00000/00000000.jpg", image_bytes("cat"))
    shop.backend.requests.failures = 1
    with pytest.raises(Exception, match="unavailable"):
        retry_failures(shop.backend, shop.view(), shop.sender)
    assert shop.backend.requests.depth().total == 0
    assert retry_failures(shop.backend, shop.view(), shop.sender) == [0]
    assert shop.backend.requests.depth().total == 1


def test_a_retry_of_one_image_is_of_one_image() -> None:
    shop = Shop(2)
    for index in (0, 1):
        shop.store(index, ok=False)
    for index in (0, 1):
        shop.backend.inputs.put(f"{shop.job_id}/00000/{index:08d}.jpg", image_bytes("cat"))
    assert retry_failures(shop.backend, shop.view(), shop.sender, index=1) == [1]


def test_polling_a_large_fragmented_job_is_not_quadratic() -> None:
    small, large = (steps_of_a_look_at_a_ragged_job(total) for total in (2_000, 8_000))
    assert large < 6 * small


def steps_of_a_look_at_a_ragged_job(total: int) -> int:
    """Every other image of it is done."""
    shop = Shop(1)
    shop.job = replace(shop.job, total=total)
    shop.backend.records.put(job_key(shop.job_id), shop.job.encode())
    stored = shop.store(0).encode()
    for index in range(2, total, 2):
        shop.backend.outputs.put(outcome_key(request_id(shop.job_id, index)), stored)

    def update() -> None:
        view = shop.view()
        view.refresh()
        assert len(indexes(view, kind="waiting", after=total // 2, limit=10)) == 10
        assert view.summary().done == total // 2

    return lines_run(update)
