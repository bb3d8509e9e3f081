"""Watching the deployment while it is under load: its queue and its workers, sample by sample."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from iraas.core.charts import Panel, Series, step_chart
from iraas.errors import IraasError
from iraas.services.status import Status

log = logging.getLogger(__name__)
LOOK_S = 10.0
"""How long one look may take."""


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


class Watch:
    """Takes samples until it is cancelled.

    Args:
        look: Looks at the deployment.
        every_s: Seconds between two looks.

    Attributes:
        observed: The samples, in order.
    """

    def __init__(self, look: Look, every_s: float) -> None:
        self.observed: list[Observation] = []
        self._look = look
        self._every_s = every_s

    @property
    def workers(self) -> int | None:
        """The workers seen last; None if none were ever looked for with success."""
        return self.observed[-1].workers if self.observed else None

    async def begin(self) -> None:
        """Look for the first time, right before the run: even the shortest has one sample."""
        await self._take(0.0)

    async def run(self) -> None:
        """Look now and again after `begin`; a look that fails leaves a gap."""
        loop = asyncio.get_running_loop()
        began = due = loop.time()
        while True:
            due = max(due + self._every_s, loop.time())
            await asyncio.sleep(due - loop.time())
            await self._take(loop.time() - began)

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
