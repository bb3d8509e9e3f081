"""``iraas results``: the outcomes of a job."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from iraas.cli.commands.submit import SaveOption, TimeoutOption
from iraas.cli.exit_codes import ExitCode
from iraas.cli.options import JobArgument, JsonOption, with_settings
from iraas.cli.output.pluralize import pluralize
from iraas.core.settings import ResolvedSettings
from iraas.errors import UsageError, WaitTimeoutError

if TYPE_CHECKING:
    from iraas.core.jobs import Job
    from iraas.core.outcomes import Outcome
    from iraas.core.ports import Backend

LOOK_EVERY_S = 0.5
LOOK_SHARE = 5
"""A look at a large job takes a while: at least so many times as long passes before the next."""
PATIENCE_S = 1800.0
NOTHING_LEFT_S = 15.0
"""How long nothing has been on the queue or in anybody's hands until nothing more will come."""


@with_settings()
def results(
    resolved: ResolvedSettings,
    job: JobArgument,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for those that are still missing.")
    ] = False,
    save: SaveOption = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print or save the outcomes of a job.

    Exit codes: 0 all labelled, 3 some failed, 5 some are not done yet.

    Examples:
        iraas results 01kb3v9x4q0000000000000000 --save labels.csv

        iraas results 01kb3v9x4q0000000000000000 --failed --json
    """
    from iraas.bootstrap import open_backend  # noqa: PLC0415 - not for --help
    from iraas.cli.output.export import saving  # noqa: PLC0415 - not for --help
    from iraas.cli.output.outcomes import OutcomePrinter  # noqa: PLC0415 - not for --help
    from iraas.core.ids import check_job_id  # noqa: PLC0415 - not for --help
    from iraas.jobs.store import get_job, iter_outcomes  # noqa: PLC0415 - not for --help

    if timeout is not None and not follow:
        raise UsageError("--timeout is for --follow", remedy="Give both, or neither.")
    with open_backend(resolved.settings) as backend:
        found = get_job(backend, check_job_id(job))
        report = OutcomePrinter(as_json=as_json)
        source = _followed(backend, found, timeout) if follow else iter_outcomes(backend, found)
        with saving(save) as write:
            for outcome in source:
                report.count(outcome)
                if outcome.prediction is None or not failed:
                    report.show(outcome)
                    write(outcome)
        missing = found.total - report.counted
        report.close(save, missing=missing)
    if missing:
        typer.echo(f"Wait for them with --follow, or {_resuming(found.job_id)}", err=True)
        raise typer.Exit(ExitCode.TIMED_OUT)
    if report.failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _followed(backend: "Backend", job: "Job", timeout_s: float | None) -> "Iterator[Outcome]":
    from iraas.cli.output.progress import job_progress  # noqa: PLC0415 - not for --help
    from iraas.client.outcome_follower import OutcomeFollower  # noqa: PLC0415 - not for --help

    follower = OutcomeFollower(backend, job)
    began = heard = time.monotonic()
    working_at = began
    failures = 0
    with job_progress(job.total, lambda: len(backend.fleet.instances())) as progress:
        looked_at = began
        while True:
            for outcome in follower.read_stored():
                heard = looked_at
                failures += outcome.prediction is None
                yield outcome
                progress.update(follower.ledger.concluded, failures)
            if looked_at == began:
                progress.start_from(follower.ledger.concluded)
            progress.update(follower.ledger.concluded, failures)
            if follower.ledger.is_complete:
                return
            now = time.monotonic()
            if not job.sealed or backend.requests.depth().total:
                working_at = now
            if timeout_s is not None and now - began > timeout_s:
                raise _gave_up(job, f"the job was not done within {timeout_s:g} s")
            idle_s = now - max(heard, working_at)
            if idle_s > NOTHING_LEFT_S + backend.requests.depth_lag_s:
                missing = follower.ledger.total - follower.ledger.concluded
                raise _gave_up(job, f"{pluralize(missing, 'image')} not sent, or lost on the way")
            if now - heard > PATIENCE_S:
                raise _gave_up(job, f"no outcome came for {now - heard:.0f} s")
            time.sleep(max(LOOK_EVERY_S, LOOK_SHARE * (now - looked_at)))
            looked_at = time.monotonic()


def _gave_up(job: "Job", why: str) -> WaitTimeoutError:
    return WaitTimeoutError(why, remedy=_resuming(job.job_id).capitalize())


def _resuming(job_id: str) -> str:
    return f"send what is missing with: iraas submit --resume {job_id}"
