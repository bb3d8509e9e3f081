"""Assembling a run of the workload generator: target, sampler, files, report."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import typer

from iraas.bootstrap import ensure_model_here, open_backend
from iraas.cli.controllers import running_controller
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

BACKEND_SAMPLE_S = 0.5
WEB_SAMPLE_S = 1.0
COLUMNS = (
    "number", "name", "due_s", "started_s", "ended_s", "latency_s", "expected", "label", "right",
    "failure", "reason", "status", "retries", "request_id", "worker",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """The target of the load.

    Attributes:
        url: The web tier's address; None for the queue of the deployment.
        api: The web tier's endpoint.
        token: Its token; empty for none.
    """

    url: str | None
    api: Api
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """What to report of a run, and where.

    Attributes:
        labels: A file with the right labels.
        save: A file for every request.
        chart: A file for the chart of the run.
        watch_after_s: Seconds to observe at most, after the last answer, until no worker is left.
        as_json: Whether to print JSON.
    """

    labels: Path | None
    save: Path | None
    chart: Path | None
    watch_after_s: float
    as_json: bool


def run_load(
    resolved: ResolvedSettings,
    plan: LoadPlan,
    target: LoadTarget,
    paths: Sequence[str],
    options: ReportOptions,
) -> LoadResult:
    """Make the load, print its result, write its files.

    Raises:
        UsageError: A file or path cannot be used.
        BackendError: The target cannot be reached at all.
    """
    labels = read_labels(options.labels) if options.labels else {}
    if options.chart is not None:
        _check_chart(options.chart)
    links = SkippedLinks()
    found = links.reported_after(find_images(paths, on_skipped=links.add))
    images = load_images(found, labels)
    if not images.is_whole:
        _print(f"Only the first {len(images.images):,} images fit in memory and are sent.")
    if labels and all(image.expected is None for image in images.images):
        raise UsageError(f"{options.labels} names none of the images")
    with saving_rows(options.save, COLUMNS) as write_row:

        def write(request: Measurement) -> None:
            write_row(request.to_json())

        run = partial(_run, plan, images, write, options.watch_after_s)
        if target.url is None:
            result = _run_on_queue(resolved, run)
        else:
            result = asyncio.run(_run_on_web(resolved, target, target.url, run))
    _report(result, target, options)
    return result


def _run_on_queue(resolved: ResolvedSettings, run: Run) -> LoadResult:
    settings = resolved.settings
    ensure_model_here(settings)
    with open_backend(settings) as backend, running_controller(settings, backend):
        queue = QueueTarget(backend, max_image_bytes=settings.max_image_bytes, clock=time.time)
        sampler = Sampler(_backend_load(backend, settings.deployment), BACKEND_SAMPLE_S)

        async def run_open() -> LoadResult:
            async with queue:
                return await run(queue, sampler)

        return asyncio.run(run_open())


async def _run_on_web(
    resolved: ResolvedSettings, target: LoadTarget, url: str, run: Run
) -> LoadResult:
    try:
        from iraas.loadgen.http_target import HttpTarget  # noqa: PLC0415 - an optional extra
    except ImportError as exc:
        raise MissingExtraError(
            "sending over HTTP needs aiohttp", remedy=how_to_install("loadgen")
        ) from exc

    async with HttpTarget(url, api=target.api, token=target.token) as web:
        await web.check()
        async with _web_sampler(resolved, web.load) as sampler:
            return await run(web, sampler)


async def _run(
    plan: LoadPlan,
    images: ImageSet,
    write: Callable[[Measurement], None],
    watch_after_s: float,
    target: Target,
    sampler: Sampler | None,
) -> LoadResult:
    with LoadProgress(plan) as progress:
        return await make_load(
            plan,
            target,
            images.images,
            sampler=sampler,
            on_completed=write,
            on_progress=progress.show,
            watch_after_s=watch_after_s,
        )


@asynccontextmanager
async def _web_sampler(
    resolved: ResolvedSettings, read_load: LoadProbe
) -> AsyncIterator[Sampler | None]:
    """A sampler of the deployment behind a web tier.

    The web tier's own status is sampled, or else the deployment that the user named; None if there
    is neither.
    """
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await read_load()
    except TimeoutError:
        problem = f"the web tier gives no status within {PROBE_TIMEOUT_S:g} s"
    except BackendError as exc:
        problem = str(exc)
    else:
        yield Sampler(read_load, WEB_SAMPLE_S)
        return
    if all(resolved.sources[name] == "default" for name in ("deployment", "backend", "home")):
        _print(f"Queue and workers cannot be observed: {problem}. Name the deployment behind it.")
        yield None
        return
    with open_backend(resolved.settings) as backend:
        yield Sampler(_backend_load(backend, resolved.settings.deployment), BACKEND_SAMPLE_S)


def _backend_load(backend: Backend, deployment: str) -> LoadProbe:
    async def read_load() -> DeploymentLoad:
        return load_of(await asyncio.to_thread(take_status, backend, deployment, time.time))

    return read_load


def _report(result: LoadResult, target: LoadTarget, options: ReportOptions) -> None:
    if options.as_json:
        print_json(result.to_json())
    else:
        print_result(result.summary)
    if options.chart is not None:
        _draw(result, target, options.chart)
    if options.save is not None:
        _print(f"Saved every request to {options.save}.")
    if result.unresponsive is not None:
        silence = result.unresponsive
        reason = escape_control_chars(silence.reason)
        _print(f"iraas: the server has not answered for {silence.for_s:.1f} s: {reason}.")
        _print("       The figures end there. Is the web tier still running?")


def _check_chart(path: Path) -> None:
    if path.suffix != ".svg":
        raise UsageError(f"{path} does not end in .svg")
    check_writable(path)


def _draw(result: LoadResult, target: LoadTarget, path: Path) -> None:
    if not result.samples:
        _print(f"{path} is not drawn: the deployment could not be observed.")
        return
    summary = result.summary
    title = (
        f"{summary.succeeded:,} images through {target.url or 'the request queue'} "
        f"in {summary.total_s:.1f} s"
    )
    try:
        path.write_text(draw(list(result.samples), summary.total_s, title), "utf-8")
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}") from exc
    _print(f"Drew queue and workers to {path}.")


def _print(text: str) -> None:
    typer.echo(text, err=True)
