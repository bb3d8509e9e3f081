"""Server-sent events: a job's outcomes as they arrive, and the deployment's status.

An event's id is the set of indexes whose outcomes the client has received, encoded as ranges. A
client that reconnects with it (``Last-Event-ID``) gets exactly the other outcomes: from this
process, from another one, or after a restart. If the set grows too long for a header, its end is
omitted and those outcomes are sent again; clients recognize them by their `request_id`.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from iraas.core.index_set import IndexSet
from iraas.core.outcomes import Outcome
from iraas.errors import BackendError, JobNotFoundError
from iraas.monitoring.job_progress import JobProgress
from iraas.monitoring.status import Status
from iraas.web.problems import busy
from iraas.web.security.authenticator import Session
from iraas.web.state import AppState

MAX_OUTCOMES_PER_EVENT = 100
MAX_ID_CHARACTERS = 2000
HEARTBEAT_S = 15.0
MIN_POLL_S = 1.0
POLL_AFTER_REPLIES_S = 3.0
MAX_POLL_S = 10.0
BATCH_WINDOW_S = 0.1
BATCH_WINDOW_PER_STREAM_S = 0.001
STATUS_S = 2.0
RATE_WINDOW_S = 10.0
MIN_RATE_SAMPLES = 2
RECONNECT = "retry: 2000\n\n"
HEARTBEAT = ": heartbeat\n\n"


def event(name: str, value: Any, identity: str | None = None) -> str:
    """Format one event. JSON contains no line breaks, so that its data is one line."""
    head = f"event: {name}\n" + (f"id: {identity}\n" if identity is not None else "")
    return f"{head}data: {json.dumps(value, separators=(',', ':'))}\n\n"


def read_cursor(text: str) -> IndexSet:
    """Parse the indexes that a client has received; empty if the text is not a valid event id."""
    try:
        return IndexSet.decode(text[: 2 * MAX_ID_CHARACTERS])
    except ValueError:
        return IndexSet()


@contextmanager
def open_stream(state: AppState, client: str) -> Iterator[asyncio.Event]:
    """Count a client's event stream while it is open.

    Yields:
        An event that is set to wake the stream up, also when the server is about to stop.

    Raises:
        Problem: Too many streams are open (429).
    """
    if state.closing or not state.stream_quota.reserve(client):
        raise busy("too many event streams are open", 15.0, "too-many-streams")
    wakeup = asyncio.Event()
    state.stream_wakeups.add(wakeup)
    state.metrics.streams.inc()
    try:
        yield wakeup
    finally:
        state.stream_wakeups.discard(wakeup)
        state.stream_quota.release(client)
        state.metrics.streams.dec()


class JobEvents:
    """The event stream of one job for one client. Used from the event loop alone.

    Args:
        state: The services.
        job: The job's progress, refreshed.
        seen: Indexes whose outcomes the client has received; updated by the stream.
        session: The session that authorizes the stream; None for programs.
        now: Returns monotonic seconds.
    """

    def __init__(
        self,
        state: AppState,
        job: JobProgress,
        seen: IndexSet,
        session: Session | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._job = job
        self._seen = seen
        self._session = session
        self._now = now
        self._last_progress: dict[str, Any] = {}
        self._done_samples: deque[tuple[float, int]] = deque()
        self._poll_s = MIN_POLL_S

    async def stream(self, wakeup: asyncio.Event) -> AsyncIterator[str]:
        """Generate events until the job is done, the session is over, or the server stops."""
        state, job = self._state, self._job

        def on_outcome(outcome: Outcome) -> None:
            job.record(outcome)
            state.callbacks.post(wakeup.set)

        stop_listening = state.reply_listener.listen(job.job_id, on_outcome)
        try:
            yield RECONNECT
            while not await state.is_over(self._session):
                wakeup.clear()
                # Progress first, outcomes second: so that none is missing when the job is done.
                progress = await self._progress()
                outcomes = await state.run(job.news, self._seen, MAX_OUTCOMES_PER_EVENT)
                if outcomes:
                    yield self._outcomes_event(outcomes)
                if progress != self._last_progress:
                    self._last_progress = progress
                    yield event("progress", progress)
                if len(outcomes) == MAX_OUTCOMES_PER_EVENT:
                    continue
                if progress["state"] == "done":
                    yield event("end", progress)
                    return
                if not await self._wait(wakeup):
                    yield HEARTBEAT
        except JobNotFoundError:
            return  # the job was deleted: a client that reconnects gets a 404
        finally:
            stop_listening()

    def _outcomes_event(self, outcomes: list[Outcome]) -> str:
        for outcome in outcomes:
            self._seen.add(int(outcome.request_id.rpartition("-")[2]))
        value = [outcome.to_json() for outcome in outcomes]
        return event("outcomes", value, self._seen.encode(MAX_ID_CHARACTERS))

    async def _wait(self, wakeup: asyncio.Event) -> bool:
        """Wait for replies, or poll the stores after a while; False if neither brought news."""
        state = self._state
        before = self._job.summary()
        try:
            async with asyncio.timeout(self._poll_s):
                await wakeup.wait()
        except TimeoutError:
            with suppress(BackendError):
                await state.run(self._job.refresh, 0.9 * self._poll_s)
            has_changed = self._job.summary() != before
            self._poll_s = MIN_POLL_S if has_changed else min(2 * self._poll_s, MAX_POLL_S)
            return has_changed
        # Collect more replies: an event with many outcomes costs little more than one with one.
        streams = len(state.stream_wakeups)
        await asyncio.sleep(BATCH_WINDOW_S + BATCH_WINDOW_PER_STREAM_S * streams)
        self._poll_s = POLL_AFTER_REPLIES_S
        return True

    async def _progress(self) -> dict[str, Any]:
        summary = self._job.summary()
        status = await latest_status(self._state)
        worker_states = [worker.state for worker in status.workers] if status else []
        starting = worker_states.count("booting") + worker_states.count("starting")
        return {
            "state": summary.state,
            "cancelled": summary.job.cancelled,
            "total": summary.job.total,
            "done": summary.done,
            "failed": summary.failed,
            "is_counted": summary.is_counted,
            "workers": worker_states.count("running"),
            "workers_on_their_way": starting,
            "left_s": self._remaining_s(summary.job.total, summary.done),
        }

    def _remaining_s(self, total: int, done: int) -> int | None:
        """Estimate the remaining seconds from recent throughput; None while that is unknown."""
        now = self._now()
        samples = self._done_samples
        samples.append((now, done))
        while len(samples) > MIN_RATE_SAMPLES and now - samples[0][0] > RATE_WINDOW_S:
            samples.popleft()
        since, done_then = samples[0]
        if done >= total:
            return 0
        if done <= done_then or now <= since:
            return None
        return max(1, round((total - done) * (now - since) / (done - done_then)))


async def status_events(
    state: AppState, session: Session | None, wakeup: asyncio.Event
) -> AsyncIterator[str]:
    """Generate the deployment's status whenever it changed.

    Args:
        state: The services.
        session: The session that authorizes the stream, which ends with it; None for programs.
        wakeup: Set when the server is about to stop.
    """
    yield RECONNECT
    last_sent: dict[str, Any] = {}
    silent_s = 0.0
    while not await state.is_over(session):
        status = await latest_status(state)
        value = status.to_json() if status else {}
        if _has_changed(value, last_sent):
            last_sent, silent_s = value, 0.0
            yield event("status", value)
        elif silent_s >= HEARTBEAT_S:
            silent_s = 0.0
            yield HEARTBEAT
        with suppress(TimeoutError):
            async with asyncio.timeout(STATUS_S):
                await wakeup.wait()
        silent_s += STATUS_S


async def latest_status(state: AppState) -> Status | None:
    """Return the deployment's status, `STATUS_S` seconds old at most, or the last known one."""
    try:
        return await state.run(state.status.latest, STATUS_S)
    except BackendError:
        return state.status.known


def _has_changed(value: dict[str, Any], last_sent: dict[str, Any]) -> bool:
    return {**value, "at": 0} != {**last_sent, "at": 0}
