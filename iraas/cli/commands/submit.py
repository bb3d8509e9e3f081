"""``iraas submit``: send images, follow them, print and save their outcomes."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from iraas.cli.options import DryRunOption, JsonOption, with_settings
from iraas.core.settings import ResolvedSettings, Settings
from iraas.errors import UsageError

if TYPE_CHECKING:
    from iraas.core.jobs import ImageFile, Job
    from iraas.core.ports import Backend

PathsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH…", help="Files, folders, patterns; - reads names from stdin."),
]
FilesFromOption = Annotated[
    Path | None,
    typer.Option("--files-from", metavar="FILE", help="Send the files named on its lines."),
]
SaveOption = Annotated[
    Path | None,
    typer.Option("--save", metavar="FILE", help="Save the outcomes: FILE.csv or FILE.jsonl."),
]
NoWaitOption = Annotated[
    bool, typer.Option("--no-wait", help="Print the job's id and leave once all is sent.")
]
ResumeOption = Annotated[
    str | None,
    typer.Option(metavar="JOB", help="Send what has no outcome yet, and follow the rest."),
]
FollowLinksOption = Annotated[
    bool,
    typer.Option("--follow-links", help="Send files to which links out of a folder lead, too."),
]
TimeoutOption = Annotated[
    float | None, typer.Option(min=1, metavar="S", help="Stop waiting after so many seconds.")
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
    """Send pictures and get the label of each.

    Workers are started as needed and leave when nothing is left. Ctrl-C stops sending, waits for
    what was sent, and tells how to resume; a second one leaves at once. Exit codes: 0 all
    labelled, 3 some failed, 5 timed out, 130 interrupted.

    Examples:
        iraas submit ./images --save labels.csv

        find . -name '*.jpg' | iraas submit - --json
    """
    from iraas.bootstrap import ensure_model_here, open_backend  # noqa: PLC0415 - not for --help
    from iraas.cli.budget import check_spend_limit, tell_estimate  # noqa: PLC0415 - as above
    from iraas.cli.job_runner import follow_job, send_and_leave  # noqa: PLC0415 - not for --help
    from iraas.cli.output.export import check_save_path  # noqa: PLC0415 - not for --help

    _check(paths, files_from, resume)
    if no_wait and max_spend is not None:
        raise UsageError("--max-spend holds for as long as submit waits: leave out --no-wait")
    if no_wait and save is not None:
        raise UsageError(
            "--no-wait leaves before there is anything to save",
            remedy="Save it later: iraas results JOB --save FILE",
        )
    settings = resolved.settings
    if save is not None:
        check_save_path(save)
    with _pictures(paths or [], files_from, follow_links=follow_links) as pictures:
        if dry_run:
            with _missing(settings, resume) if resume else nullcontext(pictures) as unsent:
                _say_what_would_be_sent(unsent, settings, as_json=as_json)
            return
        ensure_model_here(settings)
        check_spend_limit(settings, max_spend)
        with open_backend(settings) as backend:
            job = _job(backend, pictures, resume, [*(paths or []), *_named(files_from)])
            tell_estimate(settings, job.total)
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


def _check(paths: list[str] | None, files_from: Path | None, resume: str | None) -> None:
    named = bool(paths) or files_from is not None
    if resume is None and not named:
        raise UsageError("name what to send", remedy="For example: iraas submit ./images")
    if resume is not None and named:
        raise UsageError("--resume takes no paths: the job knows its images")


def _named(files_from: Path | None) -> list[str]:
    return [] if files_from is None else [f"--files-from {files_from}"]


def _job(
    backend: "Backend", pictures: Iterator["ImageFile"], resume: str | None, sources: list[str]
) -> "Job":
    from iraas.core.ids import check_job_id  # noqa: PLC0415 - not for --help
    from iraas.jobs.store import create_job, get_job  # noqa: PLC0415 - not for --help

    if resume is not None:
        return get_job(backend, check_job_id(resume))
    return create_job(backend, pictures, sources=tuple(sources), clock=time.time)


@contextmanager
def _pictures(
    paths: list[str], files_from: Path | None, *, follow_links: bool
) -> Iterator[Iterator["ImageFile"]]:
    from iraas.cli.output.skipped_links import SkippedLinks  # noqa: PLC0415 - not for --help
    from iraas.client.sources import find_images  # noqa: PLC0415 - not for --help

    with ExitStack() as stack:
        sources = [Path("/dev/stdin")] * paths.count("-")
        if files_from is not None:
            sources.append(Path("/dev/stdin") if str(files_from) == "-" else files_from)
        lists = [stack.enter_context(_open_list(source)) for source in sources]
        named = [path for path in paths if path != "-"]
        links = SkippedLinks()
        found = find_images(named, lists, follow_links=follow_links, on_skipped=links.add)
        yield links.told_after(found)


def _open_list(path: Path) -> TextIO:
    try:
        # File names may be no text: what cannot be read so is kept as it is.
        return path.open(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path} cannot be read: {exc}") from exc


@contextmanager
def _missing(settings: Settings, resume: str) -> Iterator[Iterator["ImageFile"]]:
    """The pictures of a job that have no outcome yet."""
    from iraas.bootstrap import open_backend  # noqa: PLC0415 - not for --help
    from iraas.client.outcome_ledger import OutcomeLedger  # noqa: PLC0415 - not for --help
    from iraas.core.ids import check_job_id  # noqa: PLC0415 - not for --help
    from iraas.core.jobs import ImageFile  # noqa: PLC0415 - not for --help
    from iraas.jobs.store import get_job, iter_manifest, stored_indexes  # noqa: PLC0415 - as above

    with open_backend(settings) as backend:
        job = get_job(backend, check_job_id(resume))
        concluded = OutcomeLedger(job.total)
        for index in stored_indexes(backend, job):
            concluded.mark(index)
        yield (
            ImageFile(one.name, one.path, one.folder)
            for one in iter_manifest(backend, job)
            if not concluded.has(one.index)
        )


def _say_what_would_be_sent(
    pictures: Iterator["ImageFile"], settings: Settings, *, as_json: bool
) -> None:
    from iraas.cli.output.render import print_json  # noqa: PLC0415 - not for --help
    from iraas.core.control_chars import escape_control_chars  # noqa: PLC0415 - not for --help

    count = size_bytes = 0
    for one in pictures:
        count += 1
        try:
            size_bytes += Path(one.path).stat().st_size
        except OSError:
            typer.echo(f"not there: {escape_control_chars(one.name)}", err=True)
        if not as_json:
            typer.echo(escape_control_chars(one.name))
    if as_json:
        value = {"images": count, "bytes": size_bytes, "deployment": settings.deployment}
        print_json({**value, "backend": settings.backend})
    else:
        typer.echo(
            f"{count:,} images, {size_bytes / 1e6:,.1f} MB, would be sent to the deployment "
            f"{settings.deployment} ({settings.backend})",
            err=True,
        )
