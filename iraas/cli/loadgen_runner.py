"""Putting a run of the workload generator together: target, watch, files, report."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import typer

from iraas.bootstrap import ensure_model_here, open_backend
from iraas.cli.job_runner import running_controller
from iraas.cli.output.export import check_writable, saving_rows
from iraas.cli.output.loadgen import LoadProgress, print_result
from iraas.cli.output.render import print_json
from iraas.cli.output.skipped_links import SkippedLinks
from iraas.client.sources import find_images
from iraas.core.control_chars import escape_control_chars
from iraas.core.ports import Backend
from iraas.core.settings import ResolvedSettings
from iraas.errors import BackendError, MissingExtraError, UsageError, how_to_install
from iraas.loadgen.images import ImageSet, load_images, read_labels
from iraas.loadgen.plan import Api, LoadPlan
from iraas.loadgen.queue_target import QueueTarget
from iraas.loadgen.results import Measurement, Target
from iraas.loadgen.sampling import (
    PROBE_TIMEOUT_S,
    DeploymentLoad,
    LoadProbe,
    Sampler,
    draw,
    load_of,
)
from iraas.loadgen.session import LoadResult, make_load
from iraas.monitoring.status import take_status

Run = Callable[[Target, Sampler | None], Awaitable[LoadResult]]

BACKEND_LOOK_S = 0.5
WEB_LOOK_S = 1.0
COLUMNS = (
    "number", "name", "due_s", "started_s", "ended_s", "latency_s", "expected", "label", "right",
    "failure", "reason", "status", "retries", "request_id", "worker",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where the load goes.

    Attributes:
        url: The web tier's address; None for the queue of the deployment.
        api: How to ask the web tier.
        token: Its token; empty for none.
    """

    url: str | None
    api: Api
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What to tell of a run, and where.

    Attributes:
        labels: A file that says what is right.
        save: A file for every request.
        chart: A file for the picture of the run.
        watch_after_s: How long to watch at most, after all is answered, until no worker is left.
        as_json: Whether to print JSON.
    """

    labels: Path | None
    save: Path | None
    chart: Path | None
    watch_after_s: float
    as_json: bool


def run_load(
    resolved: ResolvedSettings, plan: LoadPlan, place: Place, paths: Sequence[str], report: Report
) -> LoadResult:
    """Make the load, print its result, write its files.

    Raises:
        UsageError: If something named cannot be used.
        BackendError: If the target is not there at all.
    """
    labels = read_labels(report.labels) if report.labels else {}
    if report.chart is not None:
        _check_chart(report.chart)
    links = SkippedLinks()
    found = links.told_after(find_images(paths, on_skipped=links.add))
    images = load_images(found, labels)
    if not images.is_whole:
        _say(f"Only the first {len(images.images):,} pictures fit in memory and are sent.")
    if labels and all(one.expected is None for one in images.images):
        raise UsageError(f"{report.labels} names none of the pictures")
    with saving_rows(report.save, COLUMNS) as write_row:

        def write(one: Measurement) -> None:
            write_row(one.to_json())

        run = partial(_run, plan, images, write, report.watch_after_s)
        if place.url is None:
            result = _run_on_queue(resolved, run)
        else:
            result = asyncio.run(_run_on_web(resolved, place, place.url, run))
    _tell(result, place, report)
    return result


def _run_on_queue(resolved: ResolvedSettings, run: Run) -> LoadResult:
    settings = resolved.settings
    ensure_model_here(settings)
    with open_backend(settings) as backend, running_controller(settings, backend):
        target = QueueTarget(backend, max_image_bytes=settings.max_image_bytes, clock=time.time)
        watch = Sampler(_backend_look(backend, settings.deployment), BACKEND_LOOK_S)

        async def run_open() -> LoadResult:
            async with target:
                return await run(target, watch)

        return asyncio.run(run_open())


async def _run_on_web(resolved: ResolvedSettings, place: Place, url: str, run: Run) -> LoadResult:
    try:
        from iraas.loadgen.http_target import HttpTarget  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise MissingExtraError(
            "sending over HTTP needs aiohttp", remedy=how_to_install("loadgen")
        ) from exc

    async with HttpTarget(url, api=place.api, token=place.token) as target:
        await target.check()
        async with _web_watch(resolved, target.load) as watch:
            return await run(target, watch)


async def _run(
    plan: LoadPlan,
    images: ImageSet,
    write: Callable[[Measurement], None],
    watch_after_s: float,
    target: Target,
    watch: Sampler | None,
) -> LoadResult:
    with LoadProgress(plan) as progress:
        return await make_load(
            plan,
            target,
            images.images,
            sampler=watch,
            on_completed=write,
            on_progress=progress.show,
            random=Random(),  # noqa: S311 - due times are no secret
            watch_after_s=watch_after_s,
        )


@asynccontextmanager
async def _web_watch(resolved: ResolvedSettings, look: LoadProbe) -> AsyncIterator[Sampler | None]:
    """Watch the deployment behind a web tier: it tells itself, or else, if the person named a
    deployment, it is taken to be that one.
    """
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await look()
    except TimeoutError:
        trouble = f"the web tier tells no status within {PROBE_TIMEOUT_S:g} s"
    except BackendError as exc:
        trouble = str(exc)
    else:
        yield Sampler(look, WEB_LOOK_S)
        return
    if all(resolved.sources[name] == "default" for name in ("deployment", "backend", "home")):
        _say(f"Queue and workers cannot be watched: {trouble}. Name the deployment behind it.")
        yield None
        return
    with open_backend(resolved.settings) as backend:
        yield Sampler(_backend_look(backend, resolved.settings.deployment), BACKEND_LOOK_S)


def _backend_look(backend: Backend, deployment: str) -> LoadProbe:
    async def look() -> DeploymentLoad:
        return load_of(await asyncio.to_thread(take_status, backend, deployment, time.time))

    return look


def _tell(result: LoadResult, place: Place, report: Report) -> None:
    if report.as_json:
        print_json(result.to_json())
    else:
        print_result(result.summary)
    if report.chart is not None:
        _draw(result, place, report.chart)
    if report.save is not None:
        _say(f"Saved every request to {report.save}.")
    if result.unresponsive is not None:
        silence = result.unresponsive
        reason = escape_control_chars(silence.reason)
        _say(f"iraas: nobody answers since {silence.for_s:.1f} s: {reason}.")
        _say("       The figures are those until then. Is the web tier still running?")


def _check_chart(path: Path) -> None:
    if path.suffix != ".svg":
        raise UsageError(f"{path} does not end in .svg")
    check_writable(path)


def _draw(result: LoadResult, place: Place, path: Path) -> None:
    if not result.samples:
        _say(f"{path} is not drawn: the deployment could not be watched.")
        return
    summary = result.summary
    title = (
        f"{summary.succeeded:,} pictures through {place.url or 'the request queue'} "
        f"in {summary.total_s:.1f} s"
    )
    try:
        path.write_text(draw(list(result.samples), summary.total_s, title), "utf-8")
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}") from exc
    _say(f"Drew queue and workers to {path}.")


def _say(text: str) -> None:
    typer.echo(text, err=True)
