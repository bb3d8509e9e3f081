"""The services shared by all requests of one web process, and the bridges to their threads."""

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from starlette.requests import Request

from iraas.client.batch_sender import BatchSender
from iraas.client.reply_listener import ReplyListener
from iraas.client.sender import Sender
from iraas.client.single_requests import SingleRequestClient
from iraas.client.storage_guard import StorageGuard
from iraas.core.jobs import SHARED_SOURCE, Job
from iraas.core.outcomes import Outcome
from iraas.core.ports import Backend
from iraas.errors import IraasError
from iraas.jobs.deletion import JobDeletion
from iraas.jobs.uploads import JobRepository
from iraas.monitoring.cached_status import CachedStatus
from iraas.monitoring.history import History, sample_of
from iraas.monitoring.job_progress import JobProgress
from iraas.monitoring.job_progress_cache import JobProgressCache
from iraas.monitoring.webhooks import WebhookDispatcher
from iraas.web.config import WebConfig
from iraas.web.http.open_bodies import OpenBodies
from iraas.web.limits.admission import BacklogLimiter, RateLimiter
from iraas.web.limits.client_quota import ClientQuota
from iraas.web.limits.memory import HeapTrimmer, MemoryBudget
from iraas.web.metrics import Metrics
from iraas.web.periodic_tasks import PeriodicTask, PeriodicTaskRunner
from iraas.web.problems import not_found
from iraas.web.readiness import Readiness
from iraas.web.security.authenticator import Authenticator, Session
from iraas.web.security.failed_logins import FailedLoginLimiter
from iraas.web.security.revocations import Revocations
from iraas.web.thumbnails.service import Thumbnailer
from iraas.web.webhook_delivery import WebhookPoster

P = ParamSpec("P")
R = TypeVar("R")
THREADS = 8
WRITE_DOWN_S = 2.0
DEPTH_SAMPLE_S = 0.5
STATUS_SAMPLE_S = 5.0
TRIM_S = 5.0
WEBHOOK_S = 2.0
ABANDONED_S = 900.0
CLEANUP_S = 300.0
RECOUNT_S = 86_400.0
LOOK_BACK_S = 2 * 86_400.0


class EventLoopCallbacks:
    """Runs functions of other threads on an event loop: in order, many in one wake-up.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._callbacks: deque[Callable[[], None]] = deque()
        self._is_scheduled = False

    def post(self, callback: Callable[[], None]) -> None:
        """Schedule a function to run on the loop. Thread-safe; a closed loop runs nothing."""
        self._callbacks.append(callback)
        if not self._is_scheduled:
            self._is_scheduled = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._run)

    def _run(self) -> None:
        # Reset the flag first: what is posted from here on runs below, or schedules another run.
        self._is_scheduled = False
        while self._callbacks:
            self._callbacks.popleft()()


class AppState:
    """The services of one web process.

    Used from the event loop's thread, except for `run`'s functions and the periodic tasks.

    Args:
        backend: The deployment, open.
        deployment: The deployment's name.
        token: The token that clients must send; None for open access.
        limits: The configured limits.
        public_url: The address behind a reverse proxy; empty without one.
        clock: Returns seconds since the epoch.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        deployment: str,
        token: str | None,
        limits: WebConfig,
        public_url: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.backend = backend
        self.deployment = deployment
        self.limits = limits
        self.public_url = public_url
        self.clock = clock
        self.authenticator = Authenticator(token, clock, deployment)
        self.revocations = Revocations(backend.records, self.run, clock)
        self.failed_logins = FailedLoginLimiter(limits.wrong_tokens_per_minute)
        self.rate_limiter = RateLimiter(limits.requests_per_s, limits.request_burst)
        self.backlog = BacklogLimiter(limits)
        self.memory = MemoryBudget(limits.max_buffered_bytes, limits.client_share)
        self.storage = StorageGuard(backend.storage, limits.storage)
        self.heap_trimmer = HeapTrimmer(lambda: self.memory.released_bytes)
        self.open_bodies = OpenBodies()
        self.stream_quota = ClientQuota(limits.max_streams, limits.client_share)
        self.readiness = Readiness(lambda: self.run(backend.requests.depth))
        self.metrics = Metrics()
        self.reply_listener = ReplyListener(backend, new_id=lambda: f"web-{secrets.token_hex(8)}")
        self.batch_sender = BatchSender(backend)
        self.single_requests = SingleRequestClient(
            backend,
            self.batch_sender,
            requester_id=lambda: self.reply_listener.requester_id,
            clock=clock,
        )
        self.jobs = JobRepository(backend, clock)
        self.deletion = JobDeletion(backend, clock)
        self.progress_cache = JobProgressCache(backend)
        self.status = CachedStatus(backend, deployment, clock=clock)
        self.history = History(backend, clock)
        self.webhooks = WebhookDispatcher(
            backend, self.progress_cache, WebhookPoster(limits.webhook_secret, clock).deliver, clock
        )
        self.thumbnails = Thumbnailer(limits, must_be_confined=backend.name == "aws")
        self.closing = False
        self.stream_wakeups: set[asyncio.Event] = set()
        self.pending_outcomes: set[asyncio.Future[Outcome | None]] = set()
        self._tasks = PeriodicTaskRunner(self._periodic_tasks())
        self._slow_tasks = PeriodicTaskRunner(self._periodic_slow_tasks())
        self._deletion_thread = ThreadPoolExecutor(1, thread_name_prefix="deletion")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="stores")

    async def start(self) -> None:
        """Start the services.

        Raises:
            BackendError: The response queue could not be created.
        """
        self.callbacks = EventLoopCallbacks(asyncio.get_running_loop())
        await self.run(self.reply_listener.start)
        await self.run(self.backend.storage.usage)  # the first call may have to count all objects
        self.batch_sender.start()
        self._tasks.start()
        self._slow_tasks.start()

    def close_streams(self) -> None:
        """End event streams because the server is about to stop; other requests follow later.

        After half of the shutdown timeout, requests that wait for an outcome are answered with a
        ticket, and uploads in progress with what was accepted.
        """
        self.closing = True
        for wakeup in self.stream_wakeups:
            wakeup.set()
        asyncio.get_running_loop().call_later(self.limits.shutdown_timeout_s / 2, self._end_waiting)

    async def stop(self) -> None:
        """Stop the services in an order that loses nothing that was accepted."""
        self.close_streams()
        await self.thumbnails.stop()
        for step in (
            self.batch_sender.stop,
            self._tasks.stop,
            self._slow_tasks.stop,
            self.single_requests.close,
            self.history.flush,
            self.reply_listener.stop,
        ):
            with contextlib.suppress(IraasError):
                await self.run(step)
        for executor in (self._threads, self._deletion_thread):
            await asyncio.to_thread(executor.shutdown, cancel_futures=True)

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a blocking function in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(function, *args, **kwargs))

    async def job_progress(self, job_id: str, *, older_than_s: float = 0.0) -> JobProgress:
        """Return a job's progress, refreshed if older than `older_than_s` seconds.

        The job that single requests share is hidden: it holds the images of many clients.

        Raises:
            Problem: There is no such job (404).
            BackendError: A store failed.
        """
        progress = await self.run(self.progress_cache.view, job_id, older_than_s=older_than_s)
        if SHARED_SOURCE in progress.summary().job.sources:
            raise not_found(f"there is no job {job_id} in this deployment")
        return progress

    async def is_over(self, session: Session | None) -> bool:
        """Return whether an open event stream must end.

        It must when the server stops, or when its session expired or was revoked.

        Raises:
            BackendError: The revocation records could not be read.
        """
        if self.closing or session is None:
            return self.closing
        return session.ends_at < self.clock() or await self.revocations.has(session)

    def check_capacity(self, request: Request) -> None:
        """Admit a request that carries images, before its body is read.

        Raises:
            Problem: Too many images are pending (429).
            StorageFullError: The storage has no capacity for the declared body.
        """
        self.backlog.check()
        declared = request.headers.get("content-length", "")
        size_bytes = int(declared) if declared.isdecimal() else 0
        # A body over the limit is rejected as such when it is read.
        self.storage.check(size_bytes if size_bytes <= self.limits.max_body_bytes else 0)

    async def delete_job(self, job_id: str) -> None:
        """Delete a job with all its data.

        Deletions run one at a time in a thread of their own: a large job takes seconds, during
        which other requests need the stores.

        Raises:
            JobNotFoundError: There is no such job.
            BackendError: A store failed.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._deletion_thread, self.deletion.delete, job_id)
        self.progress_cache.forget(job_id)

    def sender(self, job: Job) -> Sender:
        """Create a sender for a job's images, with replies to this process."""
        return Sender(
            self.backend, job, reply_to=self.reply_listener.requester_id, clock=self.clock
        )

    def _end_waiting(self) -> None:
        self.open_bodies.end()
        for outcome in list(self.pending_outcomes):
            if not outcome.done():
                outcome.set_result(None)

    def _periodic_tasks(self) -> list[PeriodicTask]:
        tasks = [
            PeriodicTask(WRITE_DOWN_S, self.single_requests.flush),
            PeriodicTask(DEPTH_SAMPLE_S, self._sample_depth),
            PeriodicTask(STATUS_SAMPLE_S, self._sample_status),
            PeriodicTask(TRIM_S, self.heap_trimmer.run),
            PeriodicTask(ABANDONED_S, self.revocations.prune),
        ]
        if self.limits.webhook_secret:
            tasks.append(PeriodicTask(WEBHOOK_S, self.webhooks.run))
        return tasks

    def _sample_depth(self) -> None:
        """Sample the queue's depth while images are pending; otherwise the status samples do."""
        if self.backlog.pending:
            accepted = self.backlog.accepted
            depth = self.backend.requests.depth()
            self.backlog.record_depth(depth.total, accepted)
            self.history.record_depth(depth)

    def _sample_status(self) -> None:
        accepted = self.backlog.accepted
        status = self.status.latest(older_than_s=0.5)
        self.backlog.record_depth(status.queue.total, accepted)
        self.backlog.record_rate(status.images_per_s)
        self.history.record(sample_of(status))

    def _periodic_slow_tasks(self) -> list[PeriodicTask]:
        """Tasks that may take long and must not delay the others."""
        return [
            PeriodicTask(CLEANUP_S, self._clean_up),
            PeriodicTask(CLEANUP_S, self.deletion.sweep),
            PeriodicTask(CLEANUP_S, self._expire),
            PeriodicTask(RECOUNT_S, self.backend.storage.recount),
        ]

    def _expire(self) -> None:
        self.deletion.expire_single_requests(self.limits.single_request_s)

    def _clean_up(self) -> None:
        self.jobs.seal_abandoned(idle_s=ABANDONED_S, look_back_s=LOOK_BACK_S)
        self.history.prune(self.clock() - self.limits.history_s)


def state_of(request: Request) -> AppState:
    """Return the services behind a request."""
    state: AppState = request.app.state.app_state
    return state
