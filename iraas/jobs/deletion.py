"""Deleting jobs with all that is stored of them, for good.

A job's images may still be on the queue or in a worker's hands when it is deleted, and whatever is
delivered at least once may be stored again later. So a deletion leaves a tombstone in the records,
and `JobDeletion.sweep` removes again what has come since, at ages that double. A tombstone goes
once it is so old that no queue keeps a message as long, and a sweep has found nothing.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice

from iraas.core.ids import is_job_id, new_ulid
from iraas.core.jobs import SHARED_SOURCE
from iraas.core.json_record import read_record
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
"""Longer than SQS keeps a message, which is 14 days at most."""
AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A job that was deleted.

    Attributes:
        job_id: The job.
        deleted_at: Seconds since the epoch.
        swept_at: When it was last looked after, in seconds since the epoch.
    """

    job_id: str
    deleted_at: float
    swept_at: float

    def encode(self) -> bytes:
        """The tombstone as JSON."""
        return json.dumps(asdict(self)).encode()

    def is_due(self, now: float) -> bool:
        """Whether it is time to look for what has come since."""
        age_then_s = self.swept_at - self.deleted_at
        return now - self.swept_at >= max(FIRST_SWEEP_S, age_then_s)


class JobDeletion:
    """Deletes jobs. Idempotent; several processes may do it at once.

    `delete` may be called from any thread; one thread calls `sweep` and `expire_single_requests`.

    Args:
        backend: The deployment.
        clock: Gives seconds since the epoch.
    """

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._clock = clock
        self._looked_up_to = ""

    def delete(self, job_id: str) -> None:
        """Remove a job's record, images, outcomes, manifest and webhook. Takes as long as listing
        them; interrupted after its first step, it is finished by `sweep`.

        Args:
            job_id: The job, which may be deleted already.

        Raises:
            JobNotFoundError: There is no such job, and was none of late.
            BackendError: A store failed; call it again, or leave it to `sweep`.
        """
        if not self.was_deleted(job_id):
            get_job(self._backend, job_id)
            now = self._clock()
            self._put(Tombstone(job_id, now, now))
        self._remove(job_id)

    def was_deleted(self, job_id: str) -> bool:
        """Tell whether a job was deleted of late.

        Raises:
            BackendError: The records failed.
        """
        try:
            self._backend.records.get(deleted_key(job_id))
        except ObjectNotFoundError:
            return False
        return True

    def sweep(self) -> int:
        """Remove what came of deleted jobs after their deletion; tell how many objects. Call it
        every few minutes.

        Raises:
            BackendError: A store failed; the next call goes on.
        """
        records, count = self._backend.records, 0
        for one in list(records.list(DELETED)):
            try:
                tombstone = read_record(records.get(one.key), Tombstone)
            except ObjectNotFoundError:
                continue
            except MessageError as exc:
                log.warning("%s is passed over: %s", one.key, exc)
                continue
            now = self._clock()
            if not tombstone.is_due(now):
                continue
            removed = self._remove(tombstone.job_id)
            count += removed
            if not removed and now - tombstone.deleted_at > TOMBSTONE_S:
                records.delete([one.key])
            else:
                self._put(replace(tombstone, swept_at=now))
        return count

    def expire_single_requests(self, life_s: float) -> int:
        """Delete the jobs that single requests share, and tickets, once they are so old; tell how
        many jobs. Nobody else can: their ids are told to nobody. Call it every few minutes.

        Args:
            life_s: The age at which they go, in seconds.

        Raises:
            BackendError: A store failed; the next call goes on.
        """
        oldest = new_ulid(max(0.0, self._clock() - life_s), lambda _: 0)
        count = 0
        for one in self._backend.records.list(JOBS, after=self._looked_up_to):
            if one.key >= job_key(oldest):
                break
            count += self._expire(one.key[len(JOBS) : -len(".json")])
            self._looked_up_to = one.key
        self._expire_tickets(oldest)
        return count

    def _expire(self, job_id: str) -> bool:
        try:
            if not is_job_id(job_id) or SHARED_SOURCE not in get_job(self._backend, job_id).sources:
                return False
            self.delete(job_id)
        except (JobNotFoundError, MessageError) as exc:
            log.warning("job %s is passed over: %s", job_id, exc)
            return False
        return True

    def _expire_tickets(self, oldest: str) -> None:
        keys: list[str] = []
        for one in self._backend.records.list(TICKETS):
            if one.key >= f"{TICKETS}{oldest}":
                break
            keys.append(one.key)
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
    """Remove all objects under a prefix, some at a time; tell how many.

    Raises:
        BackendError: The store failed.
    """
    found = (one.key for one in store.list(prefix))
    count = 0
    for first in found:
        keys = list(chain([first], islice(found, AT_ONCE - 1)))
        store.delete(keys)
        count += len(keys)
    return count
