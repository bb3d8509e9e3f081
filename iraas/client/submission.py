"""Submitting a job: send its images, and follow them until each has its outcome.

Replies wake the follower up; where a reply is lost, it looks in the output store; where even the
request is lost, it is sent again, which does no harm.
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
from iraas.jobs.store import iter_manifest
from iraas.monitoring.status import last_decision

MAX_BROKEN_WORKERS = 3
JOIN_S = 10.0


@dataclass(frozen=True, slots=True)
class SubmissionConfig:
    """How a submission sends, waits and looks.

    Attributes:
        window: Images sent and not concluded, at most.
        wait_s: How long one look at the response queue waits.
        store_poll_s: Silence after which the output store is polled; doubles while nothing comes.
        no_progress_timeout_s: Silence after which it gives up waiting.
        timeout_s: When it gives up waiting, whatever comes.
    """

    window: int = 1000
    wait_s: float = 0.2
    store_poll_s: float = 3.0
    no_progress_timeout_s: float = 1800.0
    timeout_s: float = float("inf")


class JobSubmission:
    """Sends what has no outcome yet and follows the whole job.

    One thread calls `outcomes`; `drain` may be called from a signal handler.

    Args:
        backend: The deployment.
        job: The job, its manifest written.
        requester_id: A plain name, unique to this submission: its response queue's.
        max_image_bytes: The largest file that is accepted.
        config: How to send, wait and look.
        storage: The room that images may take.
        clock: Gives seconds since the epoch.
        now: Gives monotonic seconds.
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
        self._dispatch = JobSender(
            backend,
            Sender(backend, job, reply_to=requester_id, clock=clock),
            self._follower.ledger,
            window=self._config.window,
            max_image_bytes=max_image_bytes,
            storage=storage,
        )
        self._draining = False
        self._began = self._heard = self._looked = now()
        self._store_poll_s = self._config.store_poll_s
        self._empty_since: float | None = None

    @property
    def done(self) -> int:
        """Requests that have an outcome."""
        return self._follower.ledger.concluded

    @property
    def is_complete(self) -> bool:
        """True once every request has its outcome."""
        return self._follower.ledger.is_complete

    def drain(self) -> None:
        """Send no more; `outcomes` ends when what was sent is concluded."""
        self._draining = True
        self._dispatch.stop()

    def outcomes(self) -> Iterator[Outcome | None]:
        """Send, and yield each outcome once as it becomes known, those stored before first.

        Yields None whenever a look brought nothing, so that the caller can look around.

        Raises:
            StorageFullError: There is no room for more images. Resume the job when there is.
            BackendError: Sending or following failed, or no worker can work. Resume the job.
            WaitTimeoutError: A bound on waiting was reached. Resume the job.
        """
        replies = self._backend.responses.create(self._requester_id)
        try:
            yield from self._follower.stored()
            self._dispatch.start(iter_manifest(self._backend, self.job))
            while not self._is_over():
                news = self._look(replies)
                if not news:
                    yield None
                yield from news
        finally:
            self._dispatch.stop()
            self._dispatch.join(JOIN_S)
            self._backend.responses.delete(self._requester_id)

    def _is_over(self) -> bool:
        if self.is_complete:
            return True
        return self._draining and not self._dispatch.is_sending and self._dispatch.outstanding <= 0

    def _look(self, replies: Queue) -> list[Outcome]:
        """Wait a moment for outcomes; after some silence, look for them where they are stored."""
        refused = [one for one in self._dispatch.refused() if self._follower.is_new(one)]
        wait_s = 0.0 if refused else self._config.wait_s
        news = refused + self._follower.replied(replies, wait_s)
        now = self._now()
        if not news and now - max(self._heard, self._looked) > self._store_poll_s:
            news = list(self._follower.stored())
            self._looked = self._now()
            self._store_poll_s = min(2 * self._store_poll_s, 60.0)
            if not news:
                self._send_lost_again()
        for outcome in news:
            self._dispatch.conclude(_index(outcome))
        if news:
            self._heard = now
            self._empty_since = None
            self._store_poll_s = self._config.store_poll_s
        self._check_patience(now)
        return news

    def _send_lost_again(self) -> None:
        """Send again what has no outcome, once nothing is on the queue or in anybody's hands, and
        has not been for as long as the queue's counts may lag.
        """
        if self._dispatch.is_sending and not self._dispatch.is_waiting:
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
        self._dispatch.forget_sent()
        if not self._draining and not self._dispatch.is_sending:
            self._dispatch.start(iter_manifest(self._backend, self.job))

    def _check_patience(self, now: float) -> None:
        if now - self._began > self._config.timeout_s:
            raise WaitTimeoutError(f"the job was not done within {self._config.timeout_s:g} s")
        silent_s = now - self._heard
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


def _index(outcome: Outcome) -> int:
    return int(outcome.request_id.rpartition("-")[2])
