"""A run from its start to its result: the load, the watch beside it, and the interruption."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from iraas.loadgen.aggregation import Aggregator, Summary
from iraas.loadgen.answers import Measured, Target
from iraas.loadgen.images import LoadedPicture
from iraas.loadgen.plan import LoadPlan
from iraas.loadgen.run import LoadRun, ServerUnresponsive
from iraas.loadgen.sampling import Observation, Sampler

TICK_S = 0.5
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Moment:
    """How far a run is.

    Attributes:
        elapsed_s: Seconds since its start.
        sent: Requests begun.
        succeeded: Labels that came.
        failed: Requests that failed.
        retries: How often requests were turned away for a while.
        workers: The workers seen last; None if nobody knows.
    """

    elapsed_s: float
    sent: int
    succeeded: int
    failed: int
    retries: int
    workers: int | None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of a run.

    Attributes:
        summary: The figures.
        observed: Samples of the deployment; none if it could not be watched.
        interrupted: Whether it was told to stop before its end.
        silence: Why it was given up; None if it was not.
    """

    summary: Summary
    observed: tuple[Observation, ...]
    interrupted: bool
    silence: ServerUnresponsive | None = None

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object, with the samples."""
        samples = [{"at_s": round(one.at_s, 3), **asdict(one.load)} for one in self.observed]
        return {
            "interrupted": self.interrupted,
            "silence": asdict(self.silence) if self.silence else None,
            **self.summary.to_json(),
            "samples": samples,
        }


async def make_load(
    plan: LoadPlan,
    target: Target,
    pictures: Sequence[LoadedPicture],
    *,
    watch: Sampler | None,
    ended: Callable[[Measured], None],
    show: Callable[[Moment], None],
    random: Random | None = None,
    watch_after_s: float = 0.0,
) -> LoadResult:
    """Make load until the plan is done, nobody answers, or SIGINT or SIGTERM ends it early.

    From the first signal on the second one acts as it did before.

    Args:
        plan: What to do.
        target: Where requests go; open.
        pictures: What to send, in turn.
        watch: Takes samples of the deployment meanwhile; None if it cannot be watched.
        ended: Told of each request that ended.
        show: Shown how far it is, twice a second.
        random: The source of the due times of an open loop; None for one with a random seed.
        watch_after_s: How long to watch at most, after all is answered, until no worker is left.
    """
    tally = Aggregator()

    def count(one: Measured) -> None:
        tally.add(one)
        ended(one)

    if watch is not None:
        await watch.begin()
    run = LoadRun(plan, target, pictures, ended=count, random=random or Random())
    cpu_s = time.process_time()
    async with _beside(_show(run, tally, watch, show)):
        async with _beside(*([watch.run()] if watch else [])):
            interrupted = await _until_interrupted(run.run())
        cpu_s = time.process_time() - cpu_s
        if watch is not None:
            is_whole = not interrupted and run.silence is None
            await _until_interrupted(watch.end(watch_after_s) if is_whole else watch.look_again())
    observed = watch.observed if watch else []
    labelled = any(one.expected is not None for one in pictures)
    summary = tally.summary(sent=run.sent, labelled=labelled, observed=observed, cpu_s=cpu_s)
    return LoadResult(summary, tuple(observed), interrupted, run.silence)


@asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do something beside the body of a ``with`` block, and no longer."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_interrupted(work: Awaitable[None]) -> bool:
    """Do something until it is done or a signal comes; tell whether one came."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        for one in SIGNALS:
            loop.remove_signal_handler(one)
        task.cancel()

    for one in SIGNALS:
        loop.add_signal_handler(one, interrupt)
    try:
        await task
    except asyncio.CancelledError:
        if not interrupted:
            raise
    finally:
        for one in SIGNALS:
            loop.remove_signal_handler(one)
    return interrupted


async def _show(
    run: LoadRun, tally: Aggregator, watch: Sampler | None, show: Callable[[Moment], None]
) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        show(
            Moment(
                elapsed_s=run.elapsed_s,
                sent=run.sent,
                succeeded=tally.succeeded,
                failed=tally.failed,
                retries=tally.retries,
                workers=watch.workers if watch else None,
            )
        )
