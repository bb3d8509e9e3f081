"""Generating load: requests in a closed or an open loop, each with a timeout."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from iraas.loadgen.images import LoadedImage
from iraas.loadgen.plan import LoadPlan, due_times
from iraas.loadgen.results import Failure, Measurement, RequestResult, Target

ERROR_PAUSE_S = 0.1
"""Pause of a closed loop's client after a connection error; avoids a busy loop."""
MIN_CONSECUTIVE_ERRORS = 3
"""Fewer connection errors do not make a server unresponsive, however long they took."""


@dataclass(frozen=True, slots=True)
class ServerUnresponsive:
    """The reason for giving up a run: the server did not respond any more.

    Attributes:
        for_s: Seconds with nothing but connection errors.
        reason: The last connection error.
    """

    for_s: float
    reason: str


class UnresponsiveServerError(Exception):
    """Nothing but connection errors for too long. Ends the tasks of a run."""


class LoadRun:
    """One run of a plan, on one event loop. It ends at most one timeout after the last request was
    due.

    Args:
        plan: The load to generate.
        target: The target, open.
        images: The images to send, in turn.
        on_completed: Called with each completed request.
        random: Generates the due times of an open loop.

    Attributes:
        started_at: Start of the run, in the event loop's time.
        sent: Requests started.
        unresponsive: Why the run was given up; None if it was not.
    """

    def __init__(
        self,
        plan: LoadPlan,
        target: Target,
        images: Sequence[LoadedImage],
        *,
        on_completed: Callable[[Measurement], None],
        random: Random,
    ) -> None:
        self.started_at = 0.0
        self.sent = 0
        self.unresponsive: ServerUnresponsive | None = None
        self._unresponsive_since_s: float | None = None
        self._consecutive_errors = 0
        self._plan = plan
        self._target = target
        self._images = images
        self._on_completed = on_completed
        self._random = random
        self._request_ids: set[int] = set()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return asyncio.get_running_loop().time() - self.started_at

    async def run(self) -> None:
        """Send all requests and wait for all results. Cancelling it cancels the requests.

        It ends early when the server is unresponsive.
        """
        self.started_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as group:
                if self._plan.rate_per_s is None:
                    self._start_clients(group)
                else:
                    await self._send_when_due(group)
        except* UnresponsiveServerError:
            pass

    def _start_clients(self, group: asyncio.TaskGroup) -> None:
        clients = min(self._plan.in_flight, self._plan.requests or self._plan.in_flight)
        for _ in range(clients):
            group.create_task(self._run_client())

    async def _run_client(self) -> None:
        """Send one request after the other, as a client of a closed loop."""
        plan = self._plan
        while plan.requests is None or self.sent < plan.requests:
            due_s = self.elapsed_s
            if plan.duration_s is not None and due_s >= plan.duration_s:
                return
            result = await self._request(self._next_number(), due_s)
            if result.failure is Failure.CONNECTION:
                await asyncio.sleep(ERROR_PAUSE_S)

    async def _send_when_due(self, group: asyncio.TaskGroup) -> None:
        """Start each request of an open loop when it is due, or as soon as a slot is free."""
        slots = asyncio.Semaphore(self._plan.in_flight)
        for due_s in due_times(self._plan, self._random):
            early_s = due_s - self.elapsed_s
            if early_s > 0:
                await asyncio.sleep(early_s)
            await slots.acquire()
            task = group.create_task(self._request(self._next_number(), due_s))
            task.add_done_callback(lambda _: slots.release())

    async def _request(self, number: int, due_s: float) -> RequestResult:
        image = self._images[number % len(self._images)]
        until = self.started_at + due_s + self._plan.timeout_s
        started_s = self.elapsed_s
        try:
            async with asyncio.timeout_at(until):
                result = self._check_unique(await self._target.classify(image, until))
        except TimeoutError:
            reason = f"no answer within {self._plan.timeout_s:g} s"
            result = RequestResult(failure=Failure.TIMEOUT, reason=reason)
        ended_s = self.elapsed_s
        self._on_completed(
            Measurement(number, image.name, image.expected, due_s, started_s, ended_s, result)
        )
        self._check_responsive(result, ended_s)
        return result

    def _check_responsive(self, result: RequestResult, at_s: float) -> None:
        """Count consecutive connection errors.

        Raises:
            UnresponsiveServerError: There was nothing else for too long.
        """
        if result.failure is not Failure.CONNECTION:
            self._consecutive_errors, self._unresponsive_since_s = 0, None
            return
        self._consecutive_errors += 1
        if self._unresponsive_since_s is None:
            self._unresponsive_since_s = at_s
        unresponsive_s = at_s - self._unresponsive_since_s
        if (
            unresponsive_s >= self._plan.give_up_s
            and self._consecutive_errors >= MIN_CONSECUTIVE_ERRORS
        ):
            self.unresponsive = ServerUnresponsive(unresponsive_s, result.reason)
            raise UnresponsiveServerError

    def _next_number(self) -> int:
        number = self.sent
        self.sent += 1
        return number

    def _check_unique(self, result: RequestResult) -> RequestResult:
        """Replace a result whose request id another requester got too."""
        if not result.request_id:
            return result
        identity = hash(result.request_id)
        if identity in self._request_ids:
            reason = f"request {result.request_id[:80]} was returned to two requesters"
            return RequestResult(failure=Failure.MISMATCHED, reason=reason, status=result.status)
        self._request_ids.add(identity)
        return result
