"""Following a job: each outcome once, from replies or from the output store."""

import logging
from collections.abc import Iterator

from iraas.client.outcome_ledger import OutcomeLedger
from iraas.core.ids import split_request_id
from iraas.core.jobs import Job
from iraas.core.messages import decode_reply
from iraas.core.outcomes import Outcome
from iraas.core.ports import MAX_BATCH, Backend, Queue
from iraas.errors import MessageError
from iraas.jobs.store import iter_outcomes

log = logging.getLogger(__name__)
REPLY_LEASE_S = 60.0


class OutcomeFollower:
    """Returns each outcome of a job once. Not thread-safe.

    Args:
        backend: The deployment.
        job: The job to follow.

    Attributes:
        ledger: The requests whose outcome was returned.
    """

    def __init__(self, backend: Backend, job: Job) -> None:
        self._backend = backend
        self._job = job
        self.ledger = OutcomeLedger(job.total)

    def receive_replies(self, queue: Queue, wait_s: float) -> list[Outcome]:
        """Receive replies and return the outcomes that are new. Corrupt replies are skipped.

        Args:
            queue: The response queue.
            wait_s: How long to wait for the first reply, in seconds.

        Raises:
            BackendError: The queue failed.
        """
        messages = queue.receive(MAX_BATCH, lease_s=REPLY_LEASE_S, wait_s=wait_s)
        news = []
        for message in messages:
            try:
                outcome = decode_reply(message.body)
            except MessageError as exc:
                log.warning("skipped a reply: %s", exc)
                continue
            if self.is_new(outcome):
                news.append(outcome)
        if messages:
            queue.delete([message.receipt for message in messages])
        return news

    def read_stored(self) -> Iterator[Outcome]:
        """Iterate over the outcomes in the output store that are new.

        Raises:
            MessageError: A stored outcome is corrupt.
            BackendError: The store failed.
        """
        for outcome in iter_outcomes(self._backend, self._job, self._is_known):
            if self.is_new(outcome):
                yield outcome

    def is_new(self, outcome: Outcome) -> bool:
        """Mark an outcome as known; return whether it belongs to the job and was new."""
        try:
            job_id, index = split_request_id(outcome.request_id)
        except ValueError:
            return False
        return job_id == self._job.job_id and self.ledger.mark(index)

    def _is_known(self, index: int) -> bool:
        return index >= self.ledger.total or self.ledger.has(index)
