"""Watching the deployment while it is under load: its queue and its workers, sample by sample."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from iraas.core.charts import Panel, Series, step_chart
from iraas.errors import IraasError
from iraas.monitoring.status import Status

log = logging.getLogger(__name__)
LOOK_S = 10.0
"""How long one look may take."""
SETTLE_S = 1.0
"""How long what is seen may lag behind the last answer: a reply is sent before its message is
deleted, and a web tier tells the status of a moment ago."""
SHORT_RUN_S = 30.0
SHORT_LOOK_S = 0.25
"""Most seconds between two looks at the beginning: all of a short run is its beginning."""


@dataclass(frozen=True, slots=True)
class Load:
    """A deployment at one moment.

    Attributes:
        waiting: Requests that wait in the queue.
        in_flight: Requests that a worker holds.
        workers: Workers that are there or on their way: what is paid for.
        working: Those that run.
    """

    waiting: int
    in_flight: int
    workers: int
    working: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen, and when, in seconds after the start of the run."""

    at_s: float
    load: Load

    @property
    def workers(self) -> int:
        """Workers that are there or on their way."""
        return self.load.workers


Look = Callable[[], Awaitable[Load]]


def load_of(status: Status) -> Load:
    """What counts here of a deployment's status."""
    return Load(
        waiting=status.queue.visible + status.queue.delayed,
        in_flight=status.queue.in_flight,
        workers=len(status.workers),
        working=sum(one.state == "running" for one in status.workers),
    )


class Sampler:
    """Takes samples until it is cancelled.

    Args:
        look: Looks at the deployment.
        every_s: Seconds between two looks, once the run is no short one any more.

    Attributes:
        observed: The samples, in order.
    """

    def __init__(self, look: Look, every_s: float) -> None:
        self.observed: list[Observation] = []
        self._look = look
        self._every_s = every_s
        self._began = 0.0

    @property
    def workers(self) -> int | None:
        """The workers seen last; None if none were ever looked for with success."""
        return self.observed[-1].workers if self.observed else None

    async def begin(self) -> None:
        """Look for the first time, right before the run: even the shortest has one sample."""
        await self._take(0.0)
        self._began = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Look now and again after `begin`; a look that fails leaves a gap."""
        loop = asyncio.get_running_loop()
        due = self._began
        while True:
            due = max(due + self._pause_s(), loop.time())
            await asyncio.sleep(due - loop.time())
            await self._take(self._elapsed_s)

    async def look_again(self) -> None:
        """Look once more, now."""
        await self._take(self._elapsed_s)

    async def end(self, after_s: float) -> None:
        """When all is answered, look until the queue is seen empty, `SETTLE_S` at most; then on
        until no worker is left, for so long at most.
        """
        await self.look_again()
        await self._look_while(lambda seen: bool(seen.waiting or seen.in_flight), SETTLE_S)
        await self._look_while(lambda seen: bool(seen.workers), after_s)

    async def _look_while(self, holds: Callable[[Load], bool], most_s: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + most_s
        while self.observed and holds(self.observed[-1].load) and loop.time() < until:
            await asyncio.sleep(min(self._pause_s(), until - loop.time()))
            await self.look_again()

    @property
    def _elapsed_s(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    def _pause_s(self) -> float:
        is_short = self._elapsed_s < SHORT_RUN_S
        return min(self._every_s, SHORT_LOOK_S) if is_short else self._every_s

    async def _take(self, at_s: float) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                seen = await self._look()
        except TimeoutError:
            log.info("the deployment could not be looked at within %g s", LOOK_S)
        except IraasError as exc:
            log.info("the deployment could not be looked at: %s", exc)
        else:
            self.observed.append(Observation(at_s, seen))


def draw(observed: list[Observation], end_s: float, title: str) -> str:
    """The queue and the workers over a run that took so many seconds, as an SVG file."""
    return step_chart(
        [
            Panel(
                "Requests in the queue",
                [
                    Series("waiting", [(one.at_s, one.load.waiting) for one in observed]),
                    Series("in flight", [(one.at_s, one.load.in_flight) for one in observed]),
                ],
            ),
            Panel(
                "Workers",
                [
                    Series("there or on their way", [(one.at_s, one.workers) for one in observed]),
                    Series("running", [(one.at_s, one.load.working) for one in observed]),
                ],
            ),
        ],
        title=title,
        span=(0.0, max(end_s, observed[-1].at_s if observed else 0.0)),
        standalone=True,
    )
