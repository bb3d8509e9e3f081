"""Making load: requests in a closed or an open loop, each with its end."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from iraas.loadgen.answers import Answer, Failure, Measured, Target
from iraas.loadgen.images import LoadedPicture
from iraas.loadgen.plan import LoadPlan, due_times

PAUSE_S = 0.1
"""What a client of a closed loop waits after a connection error, so as not to spin on a dead
server."""
LEAST_ERRORS = 3
"""Connection errors in a row before a server is taken to be gone, however long that took."""


@dataclass(frozen=True, slots=True)
class ServerUnresponsive:
    """Nobody answered any more, and the run was given up.

    Attributes:
        for_s: How long that had lasted.
        reason: The last connection error.
    """

    for_s: float
    reason: str


class NobodyAnswersError(Exception):
    """Connection errors were all that came for too long. Ends the run's tasks, and no more."""


class LoadRun:
    """One run of a plan, on one event loop. It ends at the latest one timeout after the last
    request was due.

    Args:
        plan: What to do.
        target: Where requests go; open.
        pictures: What to send, in turn.
        ended: Told of each request that ended.
        random: Gives the due times of an open loop.

    Attributes:
        began: When it began, as a time of the event loop.
        sent: Requests that were due and begun.
        silence: Why the run was given up; None if it was not.
    """

    def __init__(
        self,
        plan: LoadPlan,
        target: Target,
        pictures: Sequence[LoadedPicture],
        *,
        ended: Callable[[Measured], None],
        random: Random,
    ) -> None:
        self.began = 0.0
        self.sent = 0
        self.silence: ServerUnresponsive | None = None
        self._silent_since_s: float | None = None
        self._errors_in_a_row = 0
        self._plan = plan
        self._target = target
        self._pictures = pictures
        self._ended = ended
        self._random = random
        self._request_ids: set[int] = set()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return asyncio.get_running_loop().time() - self.began

    async def run(self) -> None:
        """Send all requests and wait for all answers. When it is cancelled, so are they.

        It ends early when nobody answers any more.
        """
        self.began = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as group:
                if self._plan.rate_per_s is None:
                    self._start_clients(group)
                else:
                    await self._send_when_due(group)
        except* NobodyAnswersError:
            pass

    def _start_clients(self, group: asyncio.TaskGroup) -> None:
        clients = min(self._plan.in_flight, self._plan.requests or self._plan.in_flight)
        for _ in range(clients):
            group.create_task(self._client())

    async def _client(self) -> None:
        """One requester of a closed loop."""
        plan = self._plan
        while plan.requests is None or self.sent < plan.requests:
            due_s = self.elapsed_s
            if plan.duration_s is not None and due_s >= plan.duration_s:
                return
            answer = await self._one(self._next_number(), due_s)
            if answer.failure is Failure.CONNECTION:
                await asyncio.sleep(PAUSE_S)

    async def _send_when_due(self, group: asyncio.TaskGroup) -> None:
        """Begin each request of an open loop when it is due, or as soon after as there is room."""
        room = asyncio.Semaphore(self._plan.in_flight)
        for due_s in due_times(self._plan, self._random):
            early_s = due_s - self.elapsed_s
            if early_s > 0:
                await asyncio.sleep(early_s)
            await room.acquire()
            task = group.create_task(self._one(self._next_number(), due_s))
            task.add_done_callback(lambda _: room.release())

    async def _one(self, number: int, due_s: float) -> Answer:
        picture = self._pictures[number % len(self._pictures)]
        until = self.began + due_s + self._plan.timeout_s
        started_s = self.elapsed_s
        try:
            async with asyncio.timeout_at(until):
                answer = self._owned(await self._target.classify(picture, until))
        except TimeoutError:
            reason = f"no answer within {self._plan.timeout_s:g} s"
            answer = Answer(failure=Failure.TIMEOUT, reason=reason)
        ended_s = self.elapsed_s
        self._ended(
            Measured(number, picture.name, picture.expected, due_s, started_s, ended_s, answer)
        )
        self._mind_silence(answer, ended_s)
        return answer

    def _mind_silence(self, answer: Answer, at_s: float) -> None:
        """Count connection errors with nothing else between them.

        Raises:
            NobodyAnswersError: That has gone on for too long.
        """
        if answer.failure is not Failure.CONNECTION:
            self._errors_in_a_row, self._silent_since_s = 0, None
            return
        self._errors_in_a_row += 1
        if self._silent_since_s is None:
            self._silent_since_s = at_s
        silent_s = at_s - self._silent_since_s
        if silent_s >= self._plan.give_up_s and self._errors_in_a_row >= LEAST_ERRORS:
            self.silence = ServerUnresponsive(silent_s, answer.reason)
            raise NobodyAnswersError

    def _next_number(self) -> int:
        number = self.sent
        self.sent += 1
        return number

    def _owned(self, answer: Answer) -> Answer:
        """Refuse an answer whose request's id another requester was told too."""
        if not answer.request_id:
            return answer
        identity = hash(answer.request_id)
        if identity in self._request_ids:
            reason = f"request {answer.request_id[:80]} was answered to two requesters"
            return Answer(failure=Failure.MISMATCHED, reason=reason, status=answer.status)
        self._request_ids.add(identity)
        return answer
