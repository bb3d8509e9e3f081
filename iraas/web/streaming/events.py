"""Server-sent events: a job as it fills in, and the deployment's status.

An event's id is the set of places whose outcomes the client has by then, as ranges. Whoever comes
back with it (``Last-Event-ID``) gets exactly the others: from this process, from another, or from
this one after a restart. If the set grows too long for a header, its end is left out, and those
outcomes come again; clients know them by their `request_id`.
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

OUTCOMES_AT_ONCE = 100
MAX_ID_CHARACTERS = 2000
HEARTBEAT_S = 15.0
FIRST_LOOK_S = 1.0
LOOK_AFTER_REPLIES_S = 3.0
LONGEST_LOOK_S = 10.0
GATHER_S = 0.1
GATHER_PER_STREAM_S = 0.001
STATUS_S = 2.0
RATE_OVER_S = 10.0
POINTS_OF_A_RATE = 2
RECONNECT = "retry: 2000\n\n"
HEARTBEAT = ": still here\n\n"


def event(name: str, value: Any, identity: str | None = None) -> str:
    """One event in the wire format. JSON has no line breaks, so its data is one line."""
    head = f"event: {name}\n" + (f"id: {identity}\n" if identity is not None else "")
    return f"{head}data: {json.dumps(value, separators=(',', ':'))}\n\n"


def read_cursor(text: str) -> IndexSet:
    """The places that a client has; none if it says anything else than what it was told."""
    try:
        return IndexSet.decode(text[: 2 * MAX_ID_CHARACTERS])
    except ValueError:
        return IndexSet()


@contextmanager
def open_stream(context: AppState, client: str) -> Iterator[asyncio.Event]:
    """Count a client's stream for as long as it is open; gives what wakes it up, also when the
    server is about to stop.

    Raises:
        Problem: There are too many.
    """
    if context.closing or not context.streams.take(client):
        raise busy("too many event streams are open", 15.0, "too-many-streams")
    alarm = asyncio.Event()
    context.alarms.add(alarm)
    context.metrics.streams.inc()
    try:
        yield alarm
    finally:
        context.alarms.discard(alarm)
        context.streams.give(client)
        context.metrics.streams.dec()


class JobEvents:
    """The events of one job for one client.

    Args:
        context: The services.
        view: The job, refreshed.
        seen: The places whose outcomes the client has.
        session: The one that may see them; None for programs.
        now: Gives monotonic seconds.
    """

    def __init__(
        self,
        context: AppState,
        view: JobProgress,
        seen: IndexSet,
        session: Session | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._view = view
        self._seen = seen
        self._session = session
        self._now = now
        self._told: dict[str, Any] = {}
        self._pace: deque[tuple[float, int]] = deque()
        self._look_s = FIRST_LOOK_S

    async def stream(self, alarm: asyncio.Event) -> AsyncIterator[str]:
        """Events until every image of the job has its outcome, the session is over, or the server
        stops.
        """
        context, view = self._context, self._view

        def told(outcome: Outcome) -> None:
            view.note(outcome)
            context.inbox.post(alarm.set)

        end = context.router.listen(view.job_id, told)
        try:
            yield RECONNECT
            while not await context.is_over(self._session):
                alarm.clear()
                # First how far it is, then what is new: so that at the end nothing is left out.
                progress = await self._progress()
                news = await context.run(view.news, self._seen, OUTCOMES_AT_ONCE)
                if news:
                    yield self._outcomes(news)
                if progress != self._told:
                    self._told = progress
                    yield event("progress", progress)
                if len(news) == OUTCOMES_AT_ONCE:
                    continue
                if progress["state"] == "done":
                    yield event("end", progress)
                    return
                if not await self._wait(alarm):
                    yield HEARTBEAT
        except JobNotFoundError:
            return  # it was deleted: whoever comes again is told so
        finally:
            end()

    def _outcomes(self, news: list[Outcome]) -> str:
        for outcome in news:
            self._seen.add(int(outcome.request_id.rpartition("-")[2]))
        value = [one.to_json() for one in news]
        return event("outcomes", value, self._seen.encode(MAX_ID_CHARACTERS))

    async def _wait(self, alarm: asyncio.Event) -> bool:
        """Wait for replies, or look into the stores; False if neither brought anything."""
        context = self._context
        before = self._view.summary()
        try:
            async with asyncio.timeout(self._look_s):
                await alarm.wait()
        except TimeoutError:
            with suppress(BackendError):
                await context.run(self._view.refresh, 0.9 * self._look_s)
            is_news = self._view.summary() != before
            self._look_s = FIRST_LOOK_S if is_news else min(2 * self._look_s, LONGEST_LOOK_S)
            return is_news
        # Let more replies gather: an event carries many outcomes as cheaply as one.
        await asyncio.sleep(GATHER_S + GATHER_PER_STREAM_S * len(context.alarms))
        self._look_s = LOOK_AFTER_REPLIES_S
        return True

    async def _progress(self) -> dict[str, Any]:
        summary = self._view.summary()
        status = await latest_status(self._context)
        states = [one.state for one in status.workers] if status else []
        return {
            "state": summary.state,
            "cancelled": summary.job.cancelled,
            "total": summary.job.total,
            "done": summary.done,
            "failed": summary.failed,
            "is_counted": summary.is_counted,
            "workers": states.count("running"),
            "workers_on_their_way": states.count("booting") + states.count("starting"),
            "left_s": self._time_left(summary.job.total, summary.done),
        }

    def _time_left(self, total: int, done: int) -> int | None:
        """Seconds until the job is done at its pace of late; None before there is a pace."""
        now = self._now()
        self._pace.append((now, done))
        while len(self._pace) > POINTS_OF_A_RATE and now - self._pace[0][0] > RATE_OVER_S:
            self._pace.popleft()
        since, done_then = self._pace[0]
        if done >= total:
            return 0
        if done <= done_then or now <= since:
            return None
        return max(1, round((total - done) * (now - since) / (done - done_then)))


async def status_events(
    context: AppState, session: Session | None, alarm: asyncio.Event
) -> AsyncIterator[str]:
    """The deployment's status, whenever it changed, until its session or server ends."""
    yield RECONNECT
    told: dict[str, Any] = {}
    silent_s = 0.0
    while not await context.is_over(session):
        status = await latest_status(context)
        value = status.to_json() if status else {}
        if _changes(value, told):
            told, silent_s = value, 0.0
            yield event("status", value)
        elif silent_s >= HEARTBEAT_S:
            silent_s = 0.0
            yield HEARTBEAT
        with suppress(TimeoutError):
            async with asyncio.timeout(STATUS_S):
                await alarm.wait()
        silent_s += STATUS_S


async def latest_status(context: AppState) -> Status | None:
    """The deployment's status, a moment old at most if it can be had."""
    try:
        return await context.run(context.status.latest, STATUS_S)
    except BackendError:
        return context.status.known


def _changes(value: dict[str, Any], told: dict[str, Any]) -> bool:
    return {**value, "at": 0} != {**told, "at": 0}
