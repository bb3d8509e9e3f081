"""Permanent deletion of jobs despite late writes, and the expiry of single requests."""

import pytest

from iraas.core.ids import new_ulid, request_id
from iraas.core.jobs import SHARED_SOURCE, Job, ManifestEntry, encode_page
from iraas.core.keys import (
    attempt_key,
    deleted_key,
    input_key,
    job_key,
    manifest_key,
    outcome_key,
    webhook_key,
)
from iraas.errors import BackendUnavailableError, JobNotFoundError
from iraas.jobs.deletion import DELETE_BATCH, TOMBSTONE_S, JobDeletion, remove_all
from iraas.jobs.tickets import issue_ticket, redeem_ticket
from tests.fakes.clock import Clock
from tests.fakes.flaky_backend import FlakyBackend

DAY_S = 86_400.0


@pytest.fixture
def deletion(backend: FlakyBackend, clock: Clock) -> JobDeletion:
    return JobDeletion(backend, clock)


def make_job(backend: FlakyBackend, clock: Clock, source: str = "upload") -> str:
    """A job with something under every key that a job can have."""
    job = Job(new_ulid(clock()), clock(), 2, sealed=True, sources=(source,))
    backend.records.put(job_key(job.job_id), job.encode())
    store_late(backend, job.job_id)
    page = encode_page([ManifestEntry(0, "a"), ManifestEntry(1, "b")])
    backend.records.put(manifest_key(job.job_id, 0), page)
    backend.records.put(webhook_key(job.job_id), b"{}")
    return job.job_id


def store_late(backend: FlakyBackend, job_id: str) -> None:
    """Store the objects of a worker."""
    for index in range(2):
        backend.inputs.put(input_key(request_id(job_id, index), "jpg"), b"x")
        backend.outputs.put(outcome_key(request_id(job_id, index)), b"{}")
    backend.records.put(attempt_key(request_id(job_id, 0), 1), b"")


def left(backend: FlakyBackend) -> list[str]:
    stores = (backend.inputs, backend.outputs, backend.records)
    return [one.key for store in stores for one in store.list()]


def test_nothing_of_a_deleted_job_is_left_but_its_tombstone(
    backend: FlakyBackend, clock: Clock, deletion: JobDeletion
) -> None:
    job_id, other = make_job(backend, clock), make_job(backend, clock)
    deletion.delete(job_id)
    assert [key for key in left(backend) if job_id in key] == [deleted_key(job_id)]
    assert len([key for key in left(backend) if other in key]) == 8
    assert deletion.was_deleted(job_id)
    assert not deletion.was_deleted(other)
    deletion.delete(job_id)


def test_an_unknown_job_leaves_no_tombstone(backend: FlakyBackend, deletion: JobDeletion) -> None:
    with pytest.raises(JobNotFoundError):
        deletion.delete("0" * 26)
    assert left(backend) == []


def test_late_writes_are_swept_at_doubling_intervals(
    backend: FlakyBackend, clock: Clock, deletion: JobDeletion
) -> None:
    job_id = make_job(backend, clock)
    deletion.delete(job_id)
    assert deletion.sweep() == 0
    sweeps = 0
    for _ in range(24 * 60):
        clock.advance(60)
        store_late(backend, job_id)
        sweeps += deletion.sweep() > 0
    assert 8 <= sweeps <= 12
    clock.advance(DAY_S)
    assert deletion.sweep() > 0
    assert left(backend) == [deleted_key(job_id)]


def test_a_tombstone_goes_when_it_is_old_and_nothing_has_come(
    backend: FlakyBackend, clock: Clock, deletion: JobDeletion
) -> None:
    job_id = make_job(backend, clock)
    deletion.delete(job_id)
    clock.advance(TOMBSTONE_S + 1)
    store_late(backend, job_id)
    assert deletion.sweep() > 0
    assert deletion.was_deleted(job_id)
    clock.advance(2 * TOMBSTONE_S)
    assert deletion.sweep() == 0
    assert left(backend) == []


def test_a_deletion_that_was_interrupted_is_finished_by_a_sweep(
    backend: FlakyBackend, clock: Clock, deletion: JobDeletion
) -> None:
    job_id = make_job(backend, clock)
    whole = backend.inputs.delete

    def fail(_: object) -> None:
        raise BackendUnavailableError("away")

    backend.inputs.delete = fail  # type: ignore[method-assign,assignment]
    with pytest.raises(BackendUnavailableError):
        deletion.delete(job_id)
    assert left(backend) != [deleted_key(job_id)]
    backend.inputs.delete = whole  # type: ignore[method-assign]
    clock.advance(61)
    JobDeletion(backend, clock).sweep()
    assert left(backend) == [deleted_key(job_id)]


def test_a_corrupt_tombstone_does_not_stop_the_sweep(
    backend: FlakyBackend, clock: Clock, deletion: JobDeletion
) -> None:
    job_id = make_job(backend, clock)
    deletion.delete(job_id)
    backend.records.put("deleted/0.json", b"{")
    store_late(backend, job_id)
    clock.advance(61)
    assert deletion.sweep() == 5


def test_single_requests_expire_and_other_jobs_do_not(
    backend: FlakyBackend, clock: Clock, deletion: JobDeletion
) -> None:
    single, job_id = make_job(backend, clock, SHARED_SOURCE), make_job(backend, clock)
    clock.advance(3 * DAY_S)
    young = make_job(backend, clock, SHARED_SOURCE)
    assert deletion.expire_single_requests(7 * DAY_S) == 0
    clock.advance(5 * DAY_S)
    assert deletion.expire_single_requests(7 * DAY_S) == 1
    assert deletion.was_deleted(single)
    assert {job_key(job_id), job_key(young)} <= set(left(backend))
    clock.advance(5 * DAY_S)
    assert deletion.expire_single_requests(7 * DAY_S) == 1
    assert [one.key for one in backend.records.list("jobs/")] == [job_key(job_id)]


def test_an_old_job_is_checked_once(
    backend: FlakyBackend, clock: Clock, deletion: JobDeletion
) -> None:
    for _ in range(3):
        make_job(backend, clock)
        clock.advance(1)
    clock.advance(8 * DAY_S)
    deletion.expire_single_requests(7 * DAY_S)
    backend.records.failures = 1  # the next one that reads a record fails
    assert deletion.expire_single_requests(7 * DAY_S) == 0
    assert backend.records.failures == 1


def test_tickets_expire_with_their_outcomes(
    backend: FlakyBackend, clock: Clock, deletion: JobDeletion
) -> None:
    old = issue_ticket(backend, request_id("0" * 26, 0), clock)
    clock.advance(5 * DAY_S)
    young = issue_ticket(backend, request_id("0" * 26, 1), clock)
    clock.advance(3 * DAY_S)
    deletion.expire_single_requests(7 * DAY_S)
    with pytest.raises(JobNotFoundError):
        redeem_ticket(backend, old)
    assert redeem_ticket(backend, young) is None


def test_many_objects_are_removed_some_at_a_time(backend: FlakyBackend) -> None:
    count = 2 * DELETE_BATCH + 3
    for number in range(count):
        backend.inputs.put(f"job/{number:05d}", b"")
    backend.inputs.put("jobs-neighbour", b"")
    assert remove_all(backend.inputs, "job/") == count
    assert [one.key for one in backend.inputs.list()] == ["jobs-neighbour"]
    assert remove_all(backend.inputs, "job/") == 0
