"""What all requests of one web process share: the services, and the bridge to their threads."""

import asyncio
import contextlib
import secrets
import time
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
from iraas.errors import BackendError
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
from iraas.web.memory_release import HeapTrimmer
from iraas.web.metrics import Metrics
from iraas.web.periodic_tasks import PeriodicTask, PeriodicTaskRunner
from iraas.web.problems import not_found
from iraas.web.readiness import Readiness
from iraas.web.security.authenticator import Authenticator, Session
from iraas.web.security.failed_logins import FailedLoginLimiter
from iraas.web.security.revocations import Revocations
from iraas.web.streaming.event_loop_callbacks import EventLoopCallbacks
from iraas.web.thumbnails.service import Thumbnailer
from iraas.web.webhook_delivery import WebhookPoster

P = ParamSpec("P")
R = TypeVar("R")
THREADS = 8
SAMPLE_S = 5.0
DEPTH_S = 0.5
NOTE_S = 2.0
WEBHOOKS_S = 2.0
TRIM_S = 5.0
ABANDONED_S = 900.0
TIDY_S = 300.0
RECOUNT_S = 86_400.0
LOOK_BACK_S = 2 * 86_400.0


class AppState:
    """One web process's services. `start` and `stop` are called on the event loop's thread.

    Args:
        backend: The deployment.
        deployment: Its name.
        token: What clients must know; None for free access.
        limits: The bounds.
        public_url: Where people reach the server through a proxy; empty if there is none.
        clock: Gives seconds since the epoch.
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
        self.access = Authenticator(token, clock, deployment)
        self.revocations = Revocations(backend.records, self.run, clock)
        self.token_tries = FailedLoginLimiter(limits.wrong_tokens_per_minute)
        self.rate = RateLimiter(limits.requests_per_s, limits.request_burst)
        self.admission = BacklogLimiter(limits)
        self.storage = StorageGuard(backend.storage, limits.storage)
        self.heap = HeapTrimmer(lambda: self.admission.buffers.released_bytes)
        self.bodies = OpenBodies()
        self.streams = ClientQuota(limits.max_streams, limits.client_share)
        self.readiness = Readiness(lambda: self.run(backend.requests.depth))
        self.metrics = Metrics()
        self.router = ReplyListener(backend, new_id=lambda: f"web-{secrets.token_hex(8)}")
        self.batcher = BatchSender(backend)
        self.singles = SingleRequestClient(
            backend, self.batcher, requester_id=lambda: self.router.requester_id, clock=clock
        )
        self.uploads = JobRepository(backend, clock)
        self.deletion = JobDeletion(backend, clock)
        self.board = JobProgressCache(backend)
        self.status = CachedStatus(backend, deployment, clock=clock)
        self.history = History(backend, clock)
        self.webhooks = WebhookDispatcher(
            backend, self.board, WebhookPoster(limits.webhook_secret, clock).deliver, clock
        )
        self.thumbnails = Thumbnailer(limits, must_be_confined=backend.name == "aws")
        self.closing = False
        self.alarms: set[asyncio.Event] = set()
        self.waiting: set[asyncio.Future[Outcome | None]] = set()
        self._rounds = PeriodicTaskRunner(self._all_rounds())
        self._housekeeping = PeriodicTaskRunner(self._slow_rounds())
        self._remover = ThreadPoolExecutor(1, thread_name_prefix="deletion")
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="stores")

    async def start(self) -> None:
        """Begin to work.

        Raises:
            BackendError: The response queue could not be made.
        """
        self.inbox = EventLoopCallbacks(asyncio.get_running_loop())
        await self.run(self.router.start)
        await self.run(self.backend.storage.usage)  # the first look may have to count
        self.batcher.start()
        self._rounds.start()
        self._housekeeping.start()

    def close_streams(self) -> None:
        """Let event streams end, for the server is about to stop; waiting requests a while later:
        those whose outcome is not there by then are told where it will be, and those that are still
        sending are told what was accepted.
        """
        self.closing = True
        for alarm in self.alarms:
            alarm.set()
        asyncio.get_running_loop().call_later(self.limits.shutdown_timeout_s / 2, self._end_waiting)

    async def stop(self) -> None:
        """Finish what is at hand and leave nothing behind that others would miss."""
        self.close_streams()
        await self.thumbnails.stop()
        for step in (
            self.batcher.stop,
            self._rounds.stop,
            self._housekeeping.stop,
            self.singles.close,
            self.history.flush,
            self.router.stop,
        ):
            with contextlib.suppress(BackendError):
                await self.run(step)
        for pool in (self._pool, self._remover):
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that blocks, in a thread of the pool."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(function, *args, **kwargs))

    async def view(self, job_id: str, *, older_than_s: float = 0.0) -> JobProgress:
        """A job's view, refreshed. Single requests share a job, which is nobody's to look at.

        Raises:
            Problem: There is no such job.
            BackendError: A store failed.
        """
        view = await self.run(self.board.view, job_id, older_than_s=older_than_s)
        if SHARED_SOURCE in view.summary().job.sources:
            raise not_found(f"there is no job {job_id} in this deployment")
        return view

    async def is_over(self, session: Session | None) -> bool:
        """Tell whether what a session has open must end: the server stops, or the session is over
        by time or by a logout.

        Raises:
            BackendError: The records failed, so that nobody knows.
        """
        if self.closing or session is None:
            return self.closing
        return session.ends_at < self.clock() or await self.revocations.has(session)

    def check_room(self, request: Request) -> None:
        """Let a request in that carries images, before its body is read.

        Raises:
            Problem: Too many images are pending.
            StorageFullError: There is no room for as many bytes as it says it has.
        """
        self.admission.check()
        claimed = request.headers.get("content-length", "")
        size_bytes = int(claimed) if claimed.isdecimal() else 0
        # A body over the limit is refused as such by whoever reads it.
        self.storage.check(size_bytes if size_bytes <= self.limits.max_body_bytes else 0)

    async def delete_job(self, job_id: str) -> None:
        """Delete a job with all its data. One at a time, in a thread of its own: a large job takes
        seconds, in which others use the stores.

        Raises:
            JobNotFoundError: There is no such job.
            BackendError: A store failed.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._remover, self.deletion.delete, job_id)
        self.board.forget(job_id)

    def sender(self, job: Job) -> Sender:
        """What sends the images of a job, with replies to this process."""
        return Sender(self.backend, job, reply_to=self.router.requester_id, clock=self.clock)

    def _end_waiting(self) -> None:
        self.bodies.end()
        for waiting in list(self.waiting):
            if not waiting.done():
                waiting.set_result(None)

    def _all_rounds(self) -> list[PeriodicTask]:
        rounds = [
            PeriodicTask(NOTE_S, self.singles.write_down),
            PeriodicTask(DEPTH_S, self._sample_depth),
            PeriodicTask(SAMPLE_S, self._sample_status),
            PeriodicTask(TRIM_S, self.heap.run),
            PeriodicTask(ABANDONED_S, self.revocations.prune),
        ]
        if self.limits.webhook_secret:
            rounds.append(PeriodicTask(WEBHOOKS_S, self.webhooks.run))
        return rounds

    def _sample_depth(self) -> None:
        """Ask for the queue's depth while it matters; the status tells it otherwise."""
        admission = self.admission
        if admission.pending:
            accepted = admission.accepted
            depth = self.backend.requests.depth()
            admission.sampled(depth.total, accepted)
            self.history.saw(depth)

    def _sample_status(self) -> None:
        accepted = self.admission.accepted
        status = self.status.latest(older_than_s=0.5)
        self.admission.sampled(status.queue.total, accepted)
        self.admission.moves_at(status.images_per_s)
        self.history.note(sample_of(status))

    def _slow_rounds(self) -> list[PeriodicTask]:
        """What may take long, and must not hold up the others."""
        return [
            PeriodicTask(TIDY_S, self._tidy),
            PeriodicTask(TIDY_S, self.deletion.sweep),
            PeriodicTask(TIDY_S, self._expire),
            PeriodicTask(RECOUNT_S, self.backend.storage.recount),
        ]

    def _expire(self) -> None:
        self.deletion.expire_single_requests(self.limits.single_request_s)

    def _tidy(self) -> None:
        self.uploads.seal_abandoned(idle_s=ABANDONED_S, look_back_s=LOOK_BACK_S)
        self.history.prune(self.clock() - self.limits.history_s)
