"""Submitting a job: send its images, and follow them until each has its outcome.

Replies notify the follower; if a reply is lost, the output store is polled; if a request is lost,
it is sent again, which is idempotent.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from iraas.client.job_sender import JobSender
from iraas.client.outcome_follower import OutcomeFollower
from iraas.client.sender import Sender
from iraas.client.storage_guard import StorageLimits
from iraas.core.jobs import Job
from iraas.core.outcomes import Outcome
from iraas.core.ports import Backend, Queue
from iraas.errors import BackendError, WaitTimeoutError
from iraas.jobs.refusals import index_of
from iraas.jobs.store import iter_manifest
from iraas.monitoring.status import last_decision

MAX_BROKEN_WORKERS = 3
JOIN_S = 10.0


@dataclass(frozen=True, slots=True)
class SubmissionConfig:
    """Window and timeouts of a submission; times are in seconds.

    Attributes:
        window: The maximum number of images sent and not concluded.
        wait_s: How long one receive from the response queue waits.
        store_poll_s: Time without outcomes after which the output store is polled; doubles up to
            60 s while no outcome arrives.
        no_progress_timeout_s: Time without outcomes after which it gives up.
        timeout_s: Total time after which it gives up.
    """

    window: int = 1000
    wait_s: float = 0.2
    store_poll_s: float = 3.0
    no_progress_timeout_s: float = 1800.0
    timeout_s: float = float("inf")


class JobSubmission:
    """Sends the images that have no outcome yet and follows the whole job.

    Not thread-safe, except that `drain` may be called from a signal handler.

    Args:
        backend: The deployment.
        job: The job; its manifest is written.
        requester_id: A plain name, unique to this submission, for its response queue.
        max_image_bytes: The maximum file size, in bytes.
        config: The window and timeouts.
        storage: The limits for the disk space of images.
        clock: Returns seconds since the epoch.
        now: Returns monotonic seconds.
    """

    def __init__(
        self,
        backend: Backend,
        job: Job,
        *,
        requester_id: str,
        max_image_bytes: int,
        config: SubmissionConfig | None = None,
        storage: StorageLimits | None = None,
        clock: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job = job
        self._backend = backend
        self._requester_id = requester_id
        self._config = config or SubmissionConfig()
        self._now = now
        self._follower = OutcomeFollower(backend, job)
        self._sender = JobSender(
            backend,
            Sender(backend, job, reply_to=requester_id, clock=clock),
            self._follower.ledger,
            window=self._config.window,
            max_image_bytes=max_image_bytes,
            storage=storage,
        )
        self._draining = False
        self._started_at = self._progress_at = self._polled_at = now()
        self._store_poll_s = self._config.store_poll_s
        self._empty_since: float | None = None

    @property
    def done(self) -> int:
        """The number of requests that have an outcome."""
        return self._follower.ledger.concluded

    @property
    def is_complete(self) -> bool:
        """Whether every request has its outcome."""
        return self._follower.ledger.is_complete

    def drain(self) -> None:
        """Stop sending; `outcomes` ends when all sent requests are concluded."""
        self._draining = True
        self._sender.stop()

    def outcomes(self) -> Iterator[Outcome | None]:
        """Send, and yield each outcome once as it becomes known; already stored ones come first.

        Yields None whenever a poll returned no outcome, so that the caller can do other work.

        Raises:
            StorageFullError: The disk or the quota is full. Resume the job when there is space.
            MessageError: The manifest or a stored outcome is corrupt.
            BackendError: Sending or following failed, or no worker can work. Resume the job.
            WaitTimeoutError: A timeout expired. Resume the job.
        """
        replies = self._backend.responses.create(self._requester_id)
        try:
            yield from self._follower.read_stored()
            self._sender.start(iter_manifest(self._backend, self.job))
            while not self._is_over():
                news = self._poll(replies)
                if not news:
                    yield None
                yield from news
        finally:
            self._sender.stop()
            self._sender.join(JOIN_S)
            self._backend.responses.delete(self._requester_id)

    def _is_over(self) -> bool:
        if self.is_complete:
            return True
        return self._draining and not self._sender.is_sending and self._sender.outstanding <= 0

    def _poll(self, replies: Queue) -> list[Outcome]:
        """Wait briefly for replies; after some time without any, poll the output store."""
        refused = [found for found in self._sender.take_refused() if self._follower.is_new(found)]
        wait_s = 0.0 if refused else self._config.wait_s
        news = refused + self._follower.receive_replies(replies, wait_s)
        now = self._now()
        if not news and now - max(self._progress_at, self._polled_at) > self._store_poll_s:
            news = list(self._follower.read_stored())
            self._polled_at = self._now()
            self._store_poll_s = min(2 * self._store_poll_s, 60.0)
            if not news:
                self._resend_lost()
        for outcome in news:
            self._sender.conclude(index_of(outcome))
        if news:
            self._progress_at = now
            self._empty_since = None
            self._store_poll_s = self._config.store_poll_s
        self._check_timeouts(now)
        return news

    def _resend_lost(self) -> None:
        """Send requests without outcome again, once the queue has been empty, in-flight messages
        included, for as long as its counts may lag.
        """
        if self._sender.is_sending and not self._sender.is_waiting:
            return
        now = self._now()
        if self._backend.requests.depth().total > 0:
            self._empty_since = None
            return
        if self._empty_since is None:
            self._empty_since = now
        if now - self._empty_since < self._backend.requests.depth_lag_s:
            return
        self._empty_since = None
        self._sender.forget_sent()
        if not self._draining and not self._sender.is_sending:
            self._sender.start(iter_manifest(self._backend, self.job))

    def _check_timeouts(self, now: float) -> None:
        if now - self._started_at > self._config.timeout_s:
            raise WaitTimeoutError(f"the job was not done within {self._config.timeout_s:g} s")
        silent_s = now - self._progress_at
        if silent_s > self._config.no_progress_timeout_s:
            raise WaitTimeoutError(
                f"no outcome came for {silent_s:.0f} s", remedy="See: iraas status"
            )
        if silent_s > self._config.store_poll_s:
            decision = last_decision(self._backend)
            if decision and decision.broken_in_a_row >= MAX_BROKEN_WORKERS:
                raise BackendError(
                    f"the workers cannot work: {decision.reason}", remedy="See: iraas doctor"
                )
