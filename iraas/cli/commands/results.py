"""``iraas results``: the outcomes of a job."""

import time
from collections.abc import Iterator
from typing import Annotated

import typer

from iraas.bootstrap import open_backend
from iraas.cli.exit_codes import ExitCode
from iraas.cli.job_argument import JobArgument
from iraas.cli.options import JsonOption, SaveOption, TimeoutOption, with_settings
from iraas.cli.output.export import saving
from iraas.cli.output.outcomes import OutcomePrinter
from iraas.cli.output.pluralize import pluralize
from iraas.cli.output.progress import job_progress
from iraas.client.outcome_follower import OutcomeFollower
from iraas.core.ids import check_job_id
from iraas.core.jobs import Job
from iraas.core.outcomes import Outcome
from iraas.core.ports import Backend
from iraas.core.settings import ResolvedSettings
from iraas.errors import UsageError, WaitTimeoutError
from iraas.jobs.store import get_job, iter_outcomes

POLL_INTERVAL_S = 0.5
POLL_SHARE = 5
"""The pause between polls in multiples of a poll's duration: polling a large job takes a while."""
NO_PROGRESS_TIMEOUT_S = 1800.0
IDLE_TIMEOUT_S = 15.0
"""How long the queue must be empty, in flight included, until no more outcomes are expected."""


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
    if timeout is not None and not follow:
        raise UsageError("--timeout is for --follow", remedy="Give both, or neither.")
    with open_backend(resolved.settings) as backend:
        found = get_job(backend, check_job_id(job))
        printer = OutcomePrinter(as_json=as_json)
        source = _followed(backend, found, timeout) if follow else iter_outcomes(backend, found)
        with saving(save) as write:
            for outcome in source:
                printer.count(outcome)
                if outcome.prediction is None or not failed:
                    printer.show(outcome)
                    write(outcome)
        missing = found.total - printer.counted
        printer.close(save, missing=missing)
    if missing:
        typer.echo(f"Wait for them with --follow, or {_resuming(found.job_id)}", err=True)
        raise typer.Exit(ExitCode.TIMED_OUT)
    if printer.failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _followed(backend: Backend, job: Job, timeout_s: float | None) -> Iterator[Outcome]:
    follower = OutcomeFollower(backend, job)
    began = heard = time.monotonic()
    working_at = began
    failures = 0
    with job_progress(job.total, lambda: len(backend.fleet.instances())) as progress:
        polled_at = began
        while True:
            for outcome in follower.read_stored():
                heard = polled_at
                failures += outcome.prediction is None
                yield outcome
                progress.update(follower.ledger.concluded, failures)
            if polled_at == began:
                progress.start_from(follower.ledger.concluded)
            progress.update(follower.ledger.concluded, failures)
            if follower.ledger.is_complete:
                return
            now = time.monotonic()
            if not job.sealed or backend.requests.depth().total:
                working_at = now
            if timeout_s is not None and now - began > timeout_s:
                raise _timeout(job, f"the job was not done within {timeout_s:g} s")
            idle_s = now - max(heard, working_at)
            if idle_s > IDLE_TIMEOUT_S + backend.requests.depth_lag_s:
                missing = follower.ledger.total - follower.ledger.concluded
                raise _timeout(job, f"{pluralize(missing, 'image')} not sent, or lost on the way")
            if now - heard > NO_PROGRESS_TIMEOUT_S:
                raise _timeout(job, f"no outcome arrived for {now - heard:.0f} s")
            time.sleep(max(POLL_INTERVAL_S, POLL_SHARE * (now - polled_at)))
            polled_at = time.monotonic()


def _timeout(job: Job, why: str) -> WaitTimeoutError:
    return WaitTimeoutError(why, remedy=_resuming(job.job_id).capitalize())


def _resuming(job_id: str) -> str:
    return f"send what is missing with: iraas submit --resume {job_id}"
