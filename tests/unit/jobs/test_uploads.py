"""Jobs that grow while their images arrive."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from iraas.core.jobs import Job
from iraas.core.keys import job_key
from iraas.core.messages import MAX_NAME_CHARACTERS
from iraas.errors import JobNotFoundError, UsageError
from iraas.jobs.store import get_job, iter_manifest
from iraas.jobs.uploads import JobRepository, manifest_end
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend
from tests.fakes.sample_requests import JOB


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backend(clock: Clock) -> FlakyBackend:
    return FlakyBackend(clock)


def names_of(backend: FlakyBackend, job_id: str) -> list[str]:
    return [one.name for one in iter_manifest(backend, get_job(backend, job_id))]


def test_images_get_indexes_in_the_order_in_which_they_are_added(
    backend: FlakyBackend, clock: Clock
) -> None:
    uploads = JobRepository(backend, clock)
    job = uploads.open()
    assert [one.index for one in uploads.add(job.job_id, ["a", "b"])] == [0, 1]
    assert [one.index for one in uploads.add(job.job_id, ["c"])] == [2]
    sealed = uploads.seal(job.job_id)
    assert (sealed.total, sealed.sealed) == (3, True)
    assert get_job(backend, job.job_id) == sealed
    assert names_of(backend, job.job_id) == ["a", "b", "c"]


def test_two_processes_that_add_at_once_never_share_an_index(
    backend: FlakyBackend, clock: Clock
) -> None:
    processes = [JobRepository(backend, clock) for _ in range(4)]
    job_id = processes[0].open().job_id

    def add(number: int) -> list[int]:
        names = [f"{number}-{n}" for n in range(3)]
        return [one.index for one in processes[number % 4].add(job_id, names)]

    with ThreadPoolExecutor(8) as threads:
        indexes = [index for found in threads.map(add, range(40)) for index in found]
    assert sorted(indexes) == list(range(120))
    assert processes[1].seal(job_id).total == 120
    assert len(set(names_of(backend, job_id))) == 120


def test_a_sealed_or_cancelled_job_takes_no_more(backend: FlakyBackend, clock: Clock) -> None:
    uploads = JobRepository(backend, clock)
    sealed, cancelled = uploads.open().job_id, uploads.open().job_id
    uploads.seal(sealed)
    assert uploads.cancel(cancelled).cancelled
    for job_id in (sealed, cancelled):
        with pytest.raises(UsageError, match="takes no more"):
            JobRepository(backend, clock).add(job_id, ["late"])
    with pytest.raises(JobNotFoundError):
        uploads.add(JOB, ["a"])


def test_images_added_while_a_job_is_sealed_count(backend: FlakyBackend, clock: Clock) -> None:
    adding, sealing = JobRepository(backend, clock), JobRepository(backend, clock)
    job_id = adding.open().job_id
    put = backend.records.put_if_absent

    def put_and_seal(objects: list[tuple[str, bytes]]) -> list[bool]:
        sealing.seal(job_id)
        return put(objects)

    backend.records.put_if_absent = put_and_seal  # type: ignore[method-assign, assignment]
    adding.add(job_id, ["a", "b"])
    assert get_job(backend, job_id).total == 2
    assert get_job(backend, job_id).sealed


def test_sealing_again_after_a_failure_makes_the_record_right(
    backend: FlakyBackend, clock: Clock
) -> None:
    uploads = JobRepository(backend, clock)
    job_id = uploads.open().job_id
    uploads.add(job_id, ["a"])
    stale = Job(job_id, clock(), 0, sealed=True, sources=("upload",))
    backend.records.put(job_key(job_id), stale.encode())
    assert uploads.seal(job_id).total == 1


def test_only_abandoned_jobs_are_sealed(backend: FlakyBackend, clock: Clock) -> None:
    uploads = JobRepository(backend, clock)
    left = uploads.open().job_id
    uploads.add(left, ["a", "b"])
    clock.advance(1000)
    busy = uploads.open().job_id
    assert JobRepository(backend, clock).seal_abandoned(idle_s=900, look_back_s=86_400) == 1
    assert get_job(backend, left).sealed
    assert get_job(backend, left).total == 2
    assert not get_job(backend, busy).sealed
    assert JobRepository(backend, clock).seal_abandoned(idle_s=900, look_back_s=86_400) == 0


def test_the_manifest_ends_where_its_last_page_does(backend: FlakyBackend, clock: Clock) -> None:
    uploads = JobRepository(backend, clock)
    job_id = uploads.open().job_id
    assert manifest_end(backend, job_id) == (0, 0)
    uploads.add(job_id, ["x" * MAX_NAME_CHARACTERS] * 3)
    assert manifest_end(backend, job_id) == (1, 3)
