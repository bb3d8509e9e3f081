"""The outcomes of images that were refused before they were sent, many in one object."""

import pytest

from iraas.client.outcome_follower import OutcomeFollower
from iraas.client.retry import delete_failed_outcomes
from iraas.client.sender import Sender
from iraas.core.jobs import Job, ManifestEntry, encode_page
from iraas.core.keys import job_key, manifest_key, outcome_key, refusals_key
from iraas.errors import MessageError, NotAnImageError
from iraas.jobs import store as jobs
from iraas.jobs.refusals import RefusalReader
from iraas.monitoring.job_progress import JobProgress
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import JOB, outcome, request

TOTAL = 12
REFUSED = [(1, 2, 5), (6, 9)]
INDEXES = [1, 2, 5, 6, 9]
SENT = [index for index in range(TOTAL) if index not in INDEXES]


@pytest.fixture
def job(backend: FlakyBackend, clock: Clock) -> Job:
    """A job of which every image has its outcome, five of them refused in two batches."""
    made = Job(JOB, 1.0, TOTAL, sealed=True)
    names = [ManifestEntry(index, f"image-{index}.jpg") for index in range(TOTAL)]
    backend.records.put(manifest_key(JOB, 0), encode_page(names))
    backend.records.put(job_key(JOB), made.encode())
    sender = Sender(backend, made, reply_to="", clock=clock)
    for batch in REFUSED:
        sender.refuse_all([(names[index], NotAnImageError(f"bad {index}")) for index in batch])
    for index in SENT:
        found = outcome(request(index))
        backend.outputs.put(outcome_key(found.request_id), found.encode())
    return made


def view_of(backend: FlakyBackend) -> JobProgress:
    view = JobProgress(backend, JOB, lambda: 0.0)
    view.refresh()
    return view


@pytest.mark.usefixtures("job")
def test_a_batch_is_one_object(backend: FlakyBackend) -> None:
    assert len(list(backend.outputs.list())) == len(SENT) + len(REFUSED)


def test_outcomes_come_in_the_order_of_the_images(backend: FlakyBackend, job: Job) -> None:
    found = list(jobs.iter_outcomes(backend, job))
    assert [one.name for one in found] == [f"image-{index}.jpg" for index in range(TOTAL)]
    assert [one.reason for one in found if one.reason] == [f"bad {index}" for index in INDEXES]
    assert list(jobs.stored_indexes(backend, job)) == list(range(TOTAL))
    assert [one.done for one in jobs.list_jobs(backend)] == [TOTAL]


def test_one_listing_gives_all_indexes(backend: FlakyBackend, job: Job) -> None:
    lists = 0
    listed = backend.outputs.list

    def counting(prefix: str = "", *, after: str = "") -> object:
        nonlocal lists
        lists += 1
        return listed(prefix, after=after)

    backend.outputs.list = counting  # type: ignore[method-assign,assignment]
    assert len(list(jobs.iter_outcomes(backend, job))) == TOTAL
    assert lists == 1


def test_a_follower_learns_of_each_once_and_reads_no_batch_twice(
    backend: FlakyBackend, job: Job
) -> None:
    follower = OutcomeFollower(backend, job)
    assert len(list(follower.read_stored())) == TOTAL
    assert follower.ledger.is_complete
    for first, *_, last in REFUSED:
        backend.outputs.put(refusals_key(JOB, first, last), b"would not be read")
    assert list(follower.read_stored()) == []


def test_a_view_counts_them_and_shows_each_with_its_reason(backend: FlakyBackend, job: Job) -> None:
    view = view_of(backend)
    summary = view.summary()
    assert (summary.done, summary.failed, summary.state) == (TOTAL, len(INDEXES), "done")
    assert summary.is_counted
    failed = view.images(after=-1, limit=100, kind="failed")
    assert [(one.index, one.outcome and one.outcome.reason) for one in failed] == [
        (index, f"bad {index}") for index in INDEXES
    ]
    assert [one.index for one in view.images(after=-1, limit=100)] == list(range(TOTAL))
    assert view.images(after=-1, limit=100, kind="waiting") == []
    view.refresh()
    assert view.summary() == summary


def test_a_view_learns_of_those_that_come_later(backend: FlakyBackend, job: Job) -> None:
    key = refusals_key(JOB, *REFUSED[0][::2])
    kept = backend.outputs.get(key)
    backend.outputs.delete([key])
    view = view_of(backend)
    assert view.summary().failed == 2
    backend.outputs.put(key, kept)
    view.refresh()
    assert view.summary().failed == 5
    image = view.image(1)
    assert image is not None
    assert image.outcome is not None
    assert image.outcome.reason == "bad 1"


def test_a_retry_does_not_touch_refusals(backend: FlakyBackend, job: Job) -> None:
    failed = outcome(request(0), None, reason="broken")
    backend.outputs.put(outcome_key(failed.request_id), failed.encode())
    assert list(delete_failed_outcomes(backend, job)) == [0]
    assert list(jobs.stored_indexes(backend, job)) == list(range(1, TOTAL))


def test_a_corrupt_batch_is_named(backend: FlakyBackend, job: Job) -> None:
    key = refusals_key(JOB, 6, 9)
    backend.outputs.put(key, b"{")
    with pytest.raises(MessageError, match=key):
        list(jobs.iter_outcomes(backend, job))


def test_a_batch_that_was_removed_is_none(backend: FlakyBackend, job: Job) -> None:
    reader = RefusalReader(backend)
    keys = [one.key for one in backend.outputs.list(f"{JOB}/0-refused/")]
    backend.outputs.delete(keys)
    assert [reader.load(key) for key in keys] == [[], []]
    assert reader.get(1) is None
    assert 1 not in reader


def test_the_reader_knows_the_indexes_between_which_there_is_nothing(
    backend: FlakyBackend, job: Job
) -> None:
    reader = RefusalReader(backend)
    assert reader.get(0) is None
    for one in backend.outputs.list(f"{JOB}/0-refused/"):
        reader.load(one.key)
        assert reader.load(one.key) == []
    assert reader.indexes() == INDEXES
    assert [index for index in range(TOTAL) if reader.get(index)] == INDEXES
    assert [index for index in range(TOTAL) if index in reader] == INDEXES
