"""Following a job: learning of each outcome once, from replies, or from the output store."""

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
    """Gives each outcome of a job once. One thread calls its methods.

    Args:
        backend: The deployment.
        job: The job to follow.

    Attributes:
        ledger: Which requests are concluded, as far as this follower knows.
    """

    def __init__(self, backend: Backend, job: Job) -> None:
        self._backend = backend
        self._job = job
        self.ledger = OutcomeLedger(job.total)

    def replied(self, queue: Queue, wait_s: float) -> list[Outcome]:
        """Take what is on the response queue, and give the outcomes that are new.

        Raises:
            BackendError: The queue failed.
        """
        messages = queue.receive(MAX_BATCH, lease_s=REPLY_LEASE_S, wait_s=wait_s)
        news = []
        for message in messages:
            try:
                outcome = decode_reply(message.body)
            except MessageError as exc:
                log.warning("a reply is passed over: %s", exc)
                continue
            if self.is_new(outcome):
                news.append(outcome)
        if messages:
            queue.delete([message.receipt for message in messages])
        return news

    def stored(self) -> Iterator[Outcome]:
        """Look in the output store, and give the outcomes that are new.

        Raises:
            BackendError: The store failed.
        """
        for outcome in iter_outcomes(self._backend, self._job, self._is_known):
            if self.is_new(outcome):
                yield outcome

    def is_new(self, outcome: Outcome) -> bool:
        """Mark an outcome as known; True if it belongs to the job and was not known before."""
        try:
            job_id, index = split_request_id(outcome.request_id)
        except ValueError:
            return False
        return job_id == self._job.job_id and self.ledger.mark(index)

    def _is_known(self, index: int) -> bool:
        return index >= self.ledger.total or self.ledger.has(index)
