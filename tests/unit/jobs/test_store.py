"""Creating jobs, finding them, and reading their outcomes."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from iraas.backends.local.backend import LocalBackend
from iraas.client.retry import delete_failed_outcomes
from iraas.core.ids import job_time
from iraas.core.jobs import PAGE_SIZE, ImageFile, Job
from iraas.core.keys import attempt_key, attempts_of, job_key, outcome_key
from iraas.core.outcomes import Outcome
from iraas.errors import BackendUnavailableError, JobNotFoundError, MessageError, UsageError
from iraas.jobs import store as jobs
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import JOB, outcome, request

SOURCES = ("images",)


def images(count: int) -> Iterator[ImageFile]:
    return (ImageFile(f"{index}.jpg", f"/images/{index}.jpg") for index in range(count))


def make(backend: FlakyBackend, clock: Clock, count: int = 5) -> Job:
    return jobs.create_job(backend, images(count), sources=SOURCES, clock=clock)


def store(backend: FlakyBackend, *outcomes: Outcome) -> None:
    for one in outcomes:
        backend.outputs.put(outcome_key(one.request_id), one.encode())


def test_a_job_is_found_again_with_its_manifest(backend: FlakyBackend, clock: Clock) -> None:
    made = make(backend, clock)
    found = jobs.get_job(backend, made.job_id)
    assert found == made
    assert (found.total, found.sealed, found.sources) == (5, True, SOURCES)
    assert job_time(found.job_id) == pytest.approx(clock.now, abs=0.002)
    entries = list(jobs.iter_manifest(backend, found))
    assert [one.index for one in entries] == list(range(5))
    assert entries[3].path == "/images/3.jpg"


def test_a_manifest_has_pages(backend: FlakyBackend, clock: Clock) -> None:
    counts: list[int] = []
    made = jobs.create_job(
        backend,
        images(2 * PAGE_SIZE + 1),
        sources=SOURCES,
        clock=clock,
        on_page=counts.append,
    )
    assert counts == [PAGE_SIZE, 2 * PAGE_SIZE, 2 * PAGE_SIZE + 1]
    indexes = [one.index for one in jobs.iter_manifest(backend, made)]
    assert indexes == list(range(2 * PAGE_SIZE + 1))


def test_a_manifest_is_read_a_page_at_a_time(backend: FlakyBackend, clock: Clock) -> None:
    made = make(backend, clock, count=3 * PAGE_SIZE)
    entries = jobs.iter_manifest(backend, made)
    next(entries)
    backend.records.failures = 1
    with pytest.raises(BackendUnavailableError):
        list(entries)


def test_a_large_job_is_a_stream_in_and_out(tmp_path: Path, clock: Clock) -> None:
    backend = LocalBackend(tmp_path, "iraas", capacity=1, worker_command=["false"])
    count = 20 * PAGE_SIZE
    tracemalloc.start()
    try:
        made = jobs.create_job(backend, images(count), sources=SOURCES, clock=clock)
        assert sum(1 for _ in jobs.iter_manifest(backend, made)) == count
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        backend.close()
    assert peak_bytes < 2_000_000


def test_a_job_without_images_is_refused(backend: FlakyBackend, clock: Clock) -> None:
    with pytest.raises(UsageError, match="no image was found"):
        make(backend, clock, count=0)
    assert list(jobs.list_jobs(backend)) == []


def test_a_job_that_could_not_be_written_whole_is_not_seen(
    backend: FlakyBackend, clock: Clock
) -> None:
    def interrupted() -> Iterator[ImageFile]:
        yield from images(PAGE_SIZE + 10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jobs.create_job(backend, interrupted(), sources=SOURCES, clock=clock)
    assert list(jobs.list_jobs(backend)) == []


def test_any_typed_source_can_be_stored(backend: FlakyBackend, clock: Clock) -> None:
    made = jobs.create_job(backend, images(1), sources=("caf\udce9",), clock=clock)
    assert made.sources == ("caf\ufffd",)


def test_a_missing_job_is_not_found(backend: FlakyBackend) -> None:
    with pytest.raises(JobNotFoundError, match=JOB) as caught:
        jobs.get_job(backend, JOB)
    assert "iraas jobs" in caught.value.remedy


def test_jobs_are_listed_the_oldest_first_with_what_is_done(
    backend: FlakyBackend, clock: Clock
) -> None:
    first = make(backend, clock, count=3)
    clock.advance(1.0)
    second = make(backend, clock, count=4)
    one = outcome(request(0))
    key = outcome_key(one.request_id.replace(JOB, second.job_id))
    backend.outputs.put(key, one.encode())
    assert list(jobs.list_jobs(backend)) == [
        jobs.JobListing(first, 0),
        jobs.JobListing(second, 1),
    ]


def test_a_corrupt_job_does_not_hide_the_others(
    backend: FlakyBackend, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    made = make(backend, clock)
    backend.records.put(job_key(JOB), b"{")
    assert [one.job for one in jobs.list_jobs(backend)] == [made]
    assert JOB in caplog.text


def test_outcomes_come_in_the_order_of_the_job(backend: FlakyBackend) -> None:
    job = Job(JOB, 1.0, 3000, sealed=True)
    made = [outcome(request(index)) for index in (2500, 3, 1001)]
    store(backend, *made)
    backend.outputs.put(f"{JOB}/00000/notes.txt", b"somebody's notes")
    assert [one.request_id for one in jobs.iter_outcomes(backend, job)] == [
        request(index).request_id for index in (3, 1001, 2500)
    ]
    assert list(jobs.stored_indexes(backend, job)) == [3, 1001, 2500]


def test_a_corrupt_outcome_is_reported_with_its_key(backend: FlakyBackend) -> None:
    backend.outputs.put(outcome_key(request(0).request_id), b"{")
    with pytest.raises(MessageError, match=outcome_key(request(0).request_id)):
        list(jobs.iter_outcomes(backend, Job(JOB, 1.0, 1, sealed=True)))


def test_forgetting_failures_leaves_the_labels_and_the_other_jobs(backend: FlakyBackend) -> None:
    job = Job(JOB, 1.0, 4, sealed=True)
    failed = [outcome(request(index), None, reason="broken") for index in (1, 3)]
    store(backend, outcome(request(0)), outcome(request(2)), *failed)
    for number in (1, 2, 3):
        backend.records.put(attempt_key(request(1).request_id, number), b"")
    backend.records.put("attempts/other/00000001/01", b"")

    assert len(list(delete_failed_outcomes(backend, job))) == 2

    assert list(jobs.stored_indexes(backend, job)) == [0, 2]
    assert list(backend.records.list(attempts_of(JOB))) == []
    assert len(list(backend.records.list())) == 1
    assert list(delete_failed_outcomes(backend, job)) == []
