"""Permanent deletion of jobs with all their objects.

When a job is deleted, its images may still be queued or in flight, and with at-least-once delivery
their outcomes may be stored again later. So a deletion leaves a tombstone in the records, and
`JobDeletion.sweep` removes objects that appeared since, at exponentially growing intervals. A
tombstone is removed once it is older than the queue's message retention and a sweep found nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain, islice

from iraas.core.ids import is_job_id, new_ulid
from iraas.core.jobs import SHARED_SOURCE
from iraas.core.json_record import read_record, write_record
from iraas.core.keys import (
    DELETED,
    JOBS,
    TICKETS,
    attempts_of,
    deleted_key,
    job_key,
    manifest_prefix,
    outcomes_of,
    webhook_key,
)
from iraas.core.ports import Backend, ObjectStore
from iraas.errors import JobNotFoundError, MessageError, ObjectNotFoundError
from iraas.jobs.store import get_job

log = logging.getLogger(__name__)
FIRST_SWEEP_S = 60.0
TOMBSTONE_S = 15 * 86_400.0
"""Longer than the maximum message retention of SQS, 14 days."""
DELETE_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The record of a deleted job.

    Attributes:
        job_id: The job.
        deleted_at: Seconds since the epoch.
        swept_at: The time of the last sweep, in seconds since the epoch.
    """

    job_id: str
    deleted_at: float
    swept_at: float

    def encode(self) -> bytes:
        """Encode the record as JSON."""
        return write_record(self)

    def is_due(self, now: float) -> bool:
        """Return whether the next sweep is due; `now` is in seconds since the epoch."""
        age_then_s = self.swept_at - self.deleted_at
        return now - self.swept_at >= max(FIRST_SWEEP_S, age_then_s)


class JobDeletion:
    """Deletes jobs. Idempotent, and safe from several processes at once.

    `delete` and `was_deleted` are thread-safe; one thread calls `sweep` and
    `expire_single_requests`.

    Args:
        backend: The deployment.
        clock: Returns seconds since the epoch.
    """

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._clock = clock
        self._expired_up_to = ""

    def delete(self, job_id: str) -> None:
        """Remove a job's record, images, outcomes, manifest and webhook.

        Takes as long as listing them. If it is interrupted after its first step, `sweep` finishes
        it.

        Args:
            job_id: The job; it may already be deleted.

        Raises:
            JobNotFoundError: The job does not exist and was not deleted recently.
            MessageError: The job's record is corrupt.
            BackendError: A store failed; call it again, or leave it to `sweep`.
        """
        if not self.was_deleted(job_id):
            get_job(self._backend, job_id)
            now = self._clock()
            self._put(Tombstone(job_id, now, now))
        self._remove(job_id)

    def was_deleted(self, job_id: str) -> bool:
        """Return whether a job was deleted recently (a tombstone exists).

        Raises:
            BackendError: The records failed.
        """
        try:
            self._backend.records.get(deleted_key(job_id))
        except ObjectNotFoundError:
            return False
        return True

    def sweep(self) -> int:
        """Remove objects of deleted jobs that were stored after the deletion. Call it every few
        minutes.

        Returns:
            The number of removed objects.

        Raises:
            BackendError: A store failed; the next call continues.
        """
        records, count = self._backend.records, 0
        for entry in list(records.list(DELETED)):
            try:
                tombstone = read_record(records.get(entry.key), Tombstone)
            except ObjectNotFoundError:
                continue
            except MessageError as exc:
                log.warning("skipped tombstone %s: %s", entry.key, exc)
                continue
            now = self._clock()
            if not tombstone.is_due(now):
                continue
            removed = self._remove(tombstone.job_id)
            count += removed
            if not removed and now - tombstone.deleted_at > TOMBSTONE_S:
                records.delete([entry.key])
            else:
                self._put(replace(tombstone, swept_at=now))
        return count

    def expire_single_requests(self, life_s: float) -> int:
        """Delete old tickets and old jobs shared by single requests. Call it every few minutes.

        Users cannot delete these jobs: their ids are never published.

        Args:
            life_s: The age from which they are deleted, in seconds.

        Returns:
            The number of deleted jobs.

        Raises:
            BackendError: A store failed; the next call continues.
        """
        oldest = new_ulid(max(0.0, self._clock() - life_s), lambda _: 0)
        count = 0
        for entry in self._backend.records.list(JOBS, after=self._expired_up_to):
            if entry.key >= job_key(oldest):
                break
            count += self._expire(entry.key[len(JOBS) : -len(".json")])
            self._expired_up_to = entry.key
        self._expire_tickets(oldest)
        return count

    def _expire(self, job_id: str) -> bool:
        try:
            if not is_job_id(job_id) or SHARED_SOURCE not in get_job(self._backend, job_id).sources:
                return False
            self.delete(job_id)
        except (JobNotFoundError, MessageError) as exc:
            log.warning("skipped job %s: %s", job_id, exc)
            return False
        return True

    def _expire_tickets(self, oldest: str) -> None:
        keys: list[str] = []
        for entry in self._backend.records.list(TICKETS):
            if entry.key >= f"{TICKETS}{oldest}":
                break
            keys.append(entry.key)
        self._backend.records.delete(keys)

    def _remove(self, job_id: str) -> int:
        backend = self._backend
        backend.records.delete([job_key(job_id), webhook_key(job_id)])
        return (
            remove_all(backend.inputs, outcomes_of(job_id))
            + remove_all(backend.outputs, outcomes_of(job_id))
            + remove_all(backend.records, manifest_prefix(job_id))
            + remove_all(backend.records, attempts_of(job_id))
        )

    def _put(self, tombstone: Tombstone) -> None:
        self._backend.records.put(deleted_key(tombstone.job_id), tombstone.encode())


def remove_all(store: ObjectStore, prefix: str) -> int:
    """Remove all objects under a prefix, in batches. Idempotent.

    Args:
        store: The store.
        prefix: The prefix of the keys; ends with ``/``.

    Returns:
        The number of removed objects.

    Raises:
        BackendError: The store failed.
    """
    found = (entry.key for entry in store.list(prefix))
    count = 0
    for first in found:
        keys = list(chain([first], islice(found, DELETE_BATCH - 1)))
        store.delete(keys)
        count += len(keys)
    return count
