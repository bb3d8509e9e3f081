"""Sampling a deployment's queue and workers while it is under load."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from iraas.core.charts import Panel, Series, step_chart
from iraas.errors import IraasError
from iraas.monitoring.status import Status

log = logging.getLogger(__name__)
PROBE_TIMEOUT_S = 10.0
"""Timeout of one sample."""
SETTLE_S = 1.0
"""Samples may lag behind the last response by this time: a reply is sent before its message is
deleted, and a web tier returns a cached status.
"""
SHORT_RUN_S = 30.0
SHORT_RUN_INTERVAL_S = 0.25
"""Longest interval between samples during the first `SHORT_RUN_S` seconds, for the sake of short
runs.
"""


@dataclass(frozen=True, slots=True)
class DeploymentLoad:
    """The load of a deployment at one moment.

    Attributes:
        waiting: Requests waiting in the queue.
        in_flight: Requests being processed by workers.
        workers: Workers, including starting ones: what is paid for.
        working: Running workers.
    """

    waiting: int
    in_flight: int
    workers: int
    working: int


@dataclass(frozen=True, slots=True)
class LoadSample:
    """A sample of the load, with its time in seconds after the start of the run."""

    at_s: float
    load: DeploymentLoad

    @property
    def workers(self) -> int:
        """Workers, including starting ones."""
        return self.load.workers


LoadProbe = Callable[[], Awaitable[DeploymentLoad]]


def load_of(status: Status) -> DeploymentLoad:
    """Extract the load from a deployment's status."""
    return DeploymentLoad(
        waiting=status.queue.visible + status.queue.delayed,
        in_flight=status.queue.in_flight,
        workers=len(status.workers),
        working=sum(worker.state == "running" for worker in status.workers),
    )


class Sampler:
    """Samples a deployment until it is cancelled. Used from one event loop.

    Args:
        probe: Returns the deployment's current load.
        interval_s: Seconds between two samples, after the first `SHORT_RUN_S` seconds.

    Attributes:
        samples: The samples, in order.
    """

    def __init__(self, probe: LoadProbe, interval_s: float) -> None:
        self.samples: list[LoadSample] = []
        self._probe = probe
        self._every_s = interval_s
        self._started_at = 0.0

    @property
    def workers(self) -> int | None:
        """Number of workers in the last sample; None without samples."""
        return self.samples[-1].workers if self.samples else None

    async def start(self) -> None:
        """Take the first sample, right before the run: even the shortest run has one."""
        await self._sample(0.0)
        self._started_at = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Sample periodically after `start`; a failed sample leaves a gap."""
        loop = asyncio.get_running_loop()
        due = self._started_at
        while True:
            due = max(due + self._pause_s(), loop.time())
            await asyncio.sleep(due - loop.time())
            await self._sample(self._elapsed_s)

    async def sample_now(self) -> None:
        """Take another sample immediately."""
        await self._sample(self._elapsed_s)

    async def finish(self, after_s: float) -> None:
        """Continue sampling after the last response.

        First until the queue is empty, for `SETTLE_S` seconds at most; then until no worker is
        left.

        Args:
            after_s: Seconds to wait at most until no worker is left.
        """
        await self.sample_now()
        await self._sample_while(lambda load: bool(load.waiting or load.in_flight), SETTLE_S)
        await self._sample_while(lambda load: bool(load.workers), after_s)

    async def _sample_while(self, holds: Callable[[DeploymentLoad], bool], max_s: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + max_s
        while self.samples and holds(self.samples[-1].load) and loop.time() < until:
            await asyncio.sleep(min(self._pause_s(), until - loop.time()))
            await self.sample_now()

    @property
    def _elapsed_s(self) -> float:
        return asyncio.get_running_loop().time() - self._started_at

    def _pause_s(self) -> float:
        is_short = self._elapsed_s < SHORT_RUN_S
        return min(self._every_s, SHORT_RUN_INTERVAL_S) if is_short else self._every_s

    async def _sample(self, at_s: float) -> None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                load = await self._probe()
        except TimeoutError:
            log.info("the deployment did not respond within %g s", PROBE_TIMEOUT_S)
        except IraasError as exc:
            log.info("the deployment could not be sampled: %s", exc)
        else:
            self.samples.append(LoadSample(at_s, load))


def draw(samples: list[LoadSample], end_s: float, title: str) -> str:
    """Draw the queue and the workers of a run.

    Args:
        samples: The samples, in order.
        end_s: Duration of the run, in seconds.
        title: The title of the chart.

    Returns:
        A standalone SVG document.
    """
    return step_chart(
        [
            Panel(
                "Requests in the queue",
                [
                    Series("waiting", [(sample.at_s, sample.load.waiting) for sample in samples]),
                    Series(
                        "in flight", [(sample.at_s, sample.load.in_flight) for sample in samples]
                    ),
                ],
            ),
            Panel(
                "Workers",
                [
                    Series(
                        "there or on their way",
                        [(sample.at_s, sample.workers) for sample in samples],
                    ),
                    Series("running", [(sample.at_s, sample.load.working) for sample in samples]),
                ],
            ),
        ],
        title=title,
        span=(0.0, max(end_s, samples[-1].at_s if samples else 0.0)),
        standalone=True,
    )
