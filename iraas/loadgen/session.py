"""A complete run: the load, the sampling beside it, and interruption by signals."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from iraas.loadgen.aggregation import Aggregator, Summary
from iraas.loadgen.images import LoadedImage
from iraas.loadgen.plan import LoadPlan
from iraas.loadgen.results import Measurement, Target
from iraas.loadgen.run import LoadRun, ServerUnresponsive
from iraas.loadgen.sampling import LoadSample, Sampler

PROGRESS_INTERVAL_S = 0.5
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The progress of a run.

    Attributes:
        elapsed_s: Seconds since its start.
        sent: Requests started.
        succeeded: Requests that got a label.
        failed: Requests that failed.
        retries: How often requests were rejected temporarily (429) and retried.
        workers: Number of workers in the last sample; None if unknown.
    """

    elapsed_s: float
    sent: int
    succeeded: int
    failed: int
    retries: int
    workers: int | None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of a run.

    Attributes:
        summary: The figures.
        samples: Samples of the deployment; empty if it could not be sampled.
        interrupted: Whether a signal ended the run.
        unresponsive: Why the run was given up; None if it was not.
    """

    summary: Summary
    samples: tuple[LoadSample, ...]
    interrupted: bool
    unresponsive: ServerUnresponsive | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object, with the samples."""
        samples = [
            {"at_s": round(sample.at_s, 3), **asdict(sample.load)} for sample in self.samples
        ]
        return {
            "interrupted": self.interrupted,
            "silence": asdict(self.unresponsive) if self.unresponsive else None,
            **self.summary.to_json(),
            "samples": samples,
        }


async def make_load(
    plan: LoadPlan,
    target: Target,
    images: Sequence[LoadedImage],
    *,
    sampler: Sampler | None,
    on_completed: Callable[[Measurement], None],
    on_progress: Callable[[RunProgress], None],
    random: Random | None = None,
    watch_after_s: float = 0.0,
) -> LoadResult:
    """Generate load until the plan is done, the server is unresponsive, or a signal ends it.

    Signals are SIGINT and SIGTERM; after the first one they have their previous effect.

    Args:
        plan: The load to generate.
        target: The target, open.
        images: The images to send, in turn.
        sampler: Samples the deployment meanwhile; None to take no samples.
        on_completed: Called with each completed request.
        on_progress: Called with the progress, every `PROGRESS_INTERVAL_S` seconds.
        random: Generates the due times of an open loop; None for a random seed.
        watch_after_s: How long to continue sampling at most, once all requests are completed, until
            no worker is left.
    """
    aggregator = Aggregator()

    def count(measurement: Measurement) -> None:
        aggregator.add(measurement)
        on_completed(measurement)

    if sampler is not None:
        await sampler.start()
    run = LoadRun(plan, target, images, on_completed=count, random=random or Random())
    cpu_s = time.process_time()
    async with _beside(_report_progress(run, aggregator, sampler, on_progress)):
        async with _beside(*([sampler.run()] if sampler else [])):
            interrupted = await _until_interrupted(run.run())
        cpu_s = time.process_time() - cpu_s
        if sampler is not None:
            is_complete = not interrupted and run.unresponsive is None
            await _until_interrupted(
                sampler.finish(watch_after_s) if is_complete else sampler.sample_now()
            )
    samples = sampler.samples if sampler else []
    labelled = any(image.expected is not None for image in images)
    summary = aggregator.summary(sent=run.sent, labelled=labelled, samples=samples, cpu_s=cpu_s)
    return LoadResult(summary, tuple(samples), interrupted, run.unresponsive)


@asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines beside the body of an ``async with`` block, and cancel them at its end."""
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_interrupted(work: Awaitable[None]) -> bool:
    """Await something until it is done or a signal arrives; return whether one did."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt)
    try:
        await task
    except asyncio.CancelledError:
        if not interrupted:
            raise
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
    return interrupted


async def _report_progress(
    run: LoadRun,
    aggregator: Aggregator,
    sampler: Sampler | None,
    on_progress: Callable[[RunProgress], None],
) -> None:
    while True:
        await asyncio.sleep(PROGRESS_INTERVAL_S)
        on_progress(
            RunProgress(
                elapsed_s=run.elapsed_s,
                sent=run.sent,
                succeeded=aggregator.succeeded,
                failed=aggregator.failed,
                retries=aggregator.retries,
                workers=sampler.workers if sampler else None,
            )
        )
