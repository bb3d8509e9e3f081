"""``iraas submit``: send images, follow them, print and save their outcomes."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, TextIO

import typer

from iraas.bootstrap import ensure_model_here, open_backend
from iraas.cli.budget import check_spend_limit, print_estimate
from iraas.cli.job_runner import follow_job, send_and_leave
from iraas.cli.options import (
    DryRunOption,
    JsonOption,
    NoWaitOption,
    SaveOption,
    TimeoutOption,
    with_settings,
)
from iraas.cli.output.export import check_save_path
from iraas.cli.output.render import print_json
from iraas.cli.output.skipped_links import SkippedLinks
from iraas.client.outcome_ledger import OutcomeLedger
from iraas.client.sources import find_images
from iraas.core.control_chars import escape_control_chars
from iraas.core.ids import check_job_id
from iraas.core.jobs import ImageFile, Job
from iraas.core.ports import Backend
from iraas.core.settings import ResolvedSettings, Settings
from iraas.errors import UsageError
from iraas.jobs.store import create_job, get_job, iter_manifest, stored_indexes

PathsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH…", help="Files, folders, patterns; - reads names from stdin."),
]
FilesFromOption = Annotated[
    Path | None,
    typer.Option("--files-from", metavar="FILE", help="Send the files named on its lines."),
]
ResumeOption = Annotated[
    str | None,
    typer.Option(
        metavar="JOB", help="Send the images that have no outcome yet, and follow the rest."
    ),
]
FollowLinksOption = Annotated[
    bool,
    typer.Option("--follow-links", help="Follow links that lead out of a folder."),
]
MaxSpendOption = Annotated[
    float | None,
    typer.Option(min=0, metavar="USD", help="aws: launch nothing more once this is spent."),
]


@with_settings("model", "max_workers", "max_image_bytes", "min_free_bytes", "prices")
def submit(
    resolved: ResolvedSettings,
    paths: PathsArgument = None,
    files_from: FilesFromOption = None,
    save: SaveOption = None,
    resume: ResumeOption = None,
    timeout: TimeoutOption = None,
    follow_links: FollowLinksOption = False,
    no_wait: NoWaitOption = False,
    max_spend: MaxSpendOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send images and get the label of each.

    Workers are started as needed and leave when nothing is left. Ctrl-C stops sending, waits for
    the images that were sent, and prints how to resume; a second one leaves at once. Exit codes:
    0 all labelled, 3 some failed, 5 timed out, 130 interrupted.

    Examples:
        iraas submit ./images --save labels.csv

        find . -name '*.jpg' | iraas submit - --json
    """
    _check_sources(paths, files_from, resume)
    _check_no_wait(no_wait=no_wait, max_spend=max_spend, save=save)
    settings = resolved.settings
    if save is not None:
        check_save_path(save)
    with _images(paths or [], files_from, follow_links=follow_links) as images:
        if dry_run:
            with _missing(settings, resume) if resume else nullcontext(images) as unsent:
                _print_plan(unsent, settings, as_json=as_json)
            return
        ensure_model_here(settings)
        check_spend_limit(settings, max_spend)
        with open_backend(settings) as backend:
            job = _job(backend, images, resume, [*(paths or []), *_named(files_from)])
            print_estimate(settings, job.total)
            if no_wait:
                send_and_leave(settings, backend, job, as_json=as_json)
                return
            follow_job(
                settings,
                backend,
                job,
                save=save,
                timeout_s=timeout,
                as_json=as_json,
                max_spend_usd=max_spend,
            )


def _check_sources(paths: list[str] | None, files_from: Path | None, resume: str | None) -> None:
    named = bool(paths) or files_from is not None
    if resume is None and not named:
        raise UsageError("name what to send", remedy="For example: iraas submit ./images")
    if resume is not None and named:
        raise UsageError("--resume takes no paths: the job knows its images")


def _check_no_wait(*, no_wait: bool, max_spend: float | None, save: Path | None) -> None:
    if no_wait and max_spend is not None:
        raise UsageError("--max-spend holds for as long as submit waits: leave out --no-wait")
    if no_wait and save is not None:
        raise UsageError(
            "--no-wait leaves before there is anything to save",
            remedy="Save it later: iraas results JOB --save FILE",
        )


def _named(files_from: Path | None) -> list[str]:
    return [] if files_from is None else [f"--files-from {files_from}"]


def _job(
    backend: Backend, images: Iterator[ImageFile], resume: str | None, sources: list[str]
) -> Job:
    if resume is not None:
        return get_job(backend, check_job_id(resume))
    return create_job(backend, images, sources=tuple(sources), clock=time.time)


@contextmanager
def _images(
    paths: list[str], files_from: Path | None, *, follow_links: bool
) -> Iterator[Iterator[ImageFile]]:
    with ExitStack() as stack:
        sources = [Path("/dev/stdin")] * paths.count("-")
        if files_from is not None:
            sources.append(Path("/dev/stdin") if str(files_from) == "-" else files_from)
        lists = [stack.enter_context(_open_list(source)) for source in sources]
        named = [path for path in paths if path != "-"]
        links = SkippedLinks()
        found = find_images(named, lists, follow_links=follow_links, on_skipped=links.add)
        yield links.reported_after(found)


def _open_list(path: Path) -> TextIO:
    try:
        # File names may be invalid UTF-8: such bytes are kept as they are.
        return path.open(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path} cannot be read: {exc}") from exc


@contextmanager
def _missing(settings: Settings, resume: str) -> Iterator[Iterator[ImageFile]]:
    """The images of a job that have no outcome yet."""
    with open_backend(settings) as backend:
        job = get_job(backend, check_job_id(resume))
        concluded = OutcomeLedger(job.total)
        for index in stored_indexes(backend, job):
            concluded.mark(index)
        yield (
            ImageFile(entry.name, entry.path, entry.folder)
            for entry in iter_manifest(backend, job)
            if not concluded.has(entry.index)
        )


def _print_plan(images: Iterator[ImageFile], settings: Settings, *, as_json: bool) -> None:
    count = size_bytes = 0
    for image in images:
        count += 1
        try:
            size_bytes += Path(image.path).stat().st_size
        except OSError:
            typer.echo(f"not there: {escape_control_chars(image.name)}", err=True)
        if not as_json:
            typer.echo(escape_control_chars(image.name))
    if as_json:
        value = {"images": count, "bytes": size_bytes, "deployment": settings.deployment}
        print_json({**value, "backend": settings.backend})
    else:
        typer.echo(
            f"{count:,} images, {size_bytes / 1e6:,.1f} MB, would be sent to the deployment "
            f"{settings.deployment} ({settings.backend})",
            err=True,
        )
