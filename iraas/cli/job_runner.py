"""Sending a job and following it on a terminal or in a pipe, for the commands that do."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from iraas.bootstrap import new_requester_id
from iraas.cli.budget import spending_at_most
from iraas.cli.controllers import ControllerWatch, running_controller, start_controller
from iraas.cli.exit_codes import ExitCode
from iraas.cli.output.export import saving
from iraas.cli.output.outcomes import OutcomePrinter
from iraas.cli.output.progress import ProgressReporter, job_progress
from iraas.cli.output.render import print_json
from iraas.client.job_sender import JobSender
from iraas.client.outcome_ledger import OutcomeLedger
from iraas.client.sender import Sender
from iraas.client.storage_guard import StorageLimits
from iraas.client.submission import JobSubmission, SubmissionConfig
from iraas.core.ids import split_request_id
from iraas.core.jobs import Job
from iraas.core.outcomes import Outcome
from iraas.core.ports import Backend
from iraas.core.settings import Settings
from iraas.errors import IraasError
from iraas.jobs.store import iter_manifest, stored_indexes


def follow_job(
    settings: Settings,
    backend: Backend,
    job: Job,
    *,
    save: Path | None,
    timeout_s: float | None,
    as_json: bool,
    max_spend_usd: float | None = None,
    shown: OutcomeLedger | None = None,
) -> None:
    """Send the images of a job that have no outcome, and follow the job to its end.

    Args:
        settings: The settings.
        backend: The deployment.
        job: The job.
        save: The file for all outcomes; None for none.
        timeout_s: Seconds until following stops; None for the default.
        as_json: Whether to print JSON.
        max_spend_usd: Dollars at which nothing more is launched.
        shown: The indexes of the outcomes that are printed; None for all.

    Raises:
        typer.Exit: Some images failed, or the first Ctrl-C ended it before all were done.
        IraasError: It could not be followed to its end; how to resume is printed.
    """
    submission = JobSubmission(
        backend,
        job,
        requester_id=new_requester_id("submit"),
        max_image_bytes=settings.max_image_bytes,
        config=SubmissionConfig() if timeout_s is None else SubmissionConfig(timeout_s=timeout_s),
        storage=_storage_limits(settings),
    )
    printer = OutcomePrinter(as_json=as_json)
    progress = job_progress(job.total, lambda: len(backend.fleet.instances()))
    with (
        _resumable(job, "done", lambda: submission.done),
        saving(save) as write,
        spending_at_most(backend, max_spend_usd),
        running_controller(settings, backend) as controller,
        _interrupts(submission, progress) as interrupted,
        progress,
    ):
        for outcome in _outcomes(submission, controller, progress, printer):
            if shown is None or shown.has(split_request_id(outcome.request_id)[1]):
                printer.show(outcome)
            write(outcome)
    printer.close(save, missing=job.total - submission.done)
    if not submission.is_complete and interrupted.is_set():
        _print_how_to_resume(job, "done", submission.done)
        raise typer.Exit(ExitCode.INTERRUPTED)
    if printer.failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _outcomes(
    submission: JobSubmission,
    controller: ControllerWatch,
    progress: ProgressReporter,
    printer: OutcomePrinter,
) -> Iterator[Outcome]:
    """The outcomes of a submission, counted, as long as its controller can work."""
    begun = False
    for outcome in submission.outcomes():
        controller.check()
        if outcome is not None:
            printer.count(outcome)
            yield outcome
        elif not begun:
            begun = True
            progress.start_from(submission.done)
        progress.update(submission.done, printer.failed)


def send_and_leave(settings: Settings, backend: Backend, job: Job, *, as_json: bool) -> None:
    """Send the images of a job that have no outcome, make sure that a controller runs, and print
    the job's id.
    """
    concluded = OutcomeLedger(job.total)
    for index in stored_indexes(backend, job):
        concluded.mark(index)
    sender = JobSender(
        backend,
        Sender(backend, job, reply_to="", clock=time.time),
        concluded,
        window=job.total,
        max_image_bytes=settings.max_image_bytes,
        storage=_storage_limits(settings),
    )
    start_controller(settings, backend)
    progress = job_progress(job.total, lambda: len(backend.fleet.instances()), sending=True)
    sent = concluded.concluded
    progress.start_from(sent)
    refused = 0

    def count(images: int) -> None:
        nonlocal sent, refused
        sent += images
        refused += len(sender.take_refused())
        progress.update(sent, refused)

    with _resumable(job, "sent", lambda: sent), progress:
        sender.send_all(iter_manifest(backend, job), count)
    if as_json:
        print_json({"job_id": job.job_id, "images": job.total, "refused": refused})
    else:
        typer.echo(job.job_id)
        typer.echo(f"See how it goes with: iraas results {job.job_id} --follow", err=True)
    if refused:
        typer.echo(f"{refused:,} of them cannot be labelled", err=True)
        raise typer.Exit(ExitCode.SOME_FAILED)


def _storage_limits(settings: Settings) -> StorageLimits:
    """The limits on stored images; without a setting, one's own disk has no quota."""
    return StorageLimits(
        min_free_bytes=settings.min_free_bytes, max_stored_bytes=settings.max_stored_bytes or 0
    )


@contextmanager
def _interrupts(submission: JobSubmission, progress: ProgressReporter) -> Iterator[threading.Event]:
    """Stop sending at the first Ctrl-C or SIGTERM, and interrupt at the second."""
    interrupted = threading.Event()

    def handle(_number: int, _frame: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        submission.drain()
        progress.show_message("Waiting for what was sent; Ctrl-C again leaves at once.")

    with _handler(signal.SIGINT, handle), _handler(signal.SIGTERM, handle):
        yield interrupted


@contextmanager
def _handler(number: signal.Signals, handle: Callable[[int, object], None]) -> Iterator[None]:
    before = signal.signal(number, handle)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def _resumable(job: Job, state: str, count: Callable[[], int]) -> Iterator[None]:
    """Print how to resume a job if anything keeps it from being sent or followed to its end."""
    try:
        yield
    except (IraasError, OSError, KeyboardInterrupt):
        _print_how_to_resume(job, state, count())
        raise


def _print_how_to_resume(job: Job, state: str, count: int) -> None:
    sys.stderr.write(
        f"{count:,} of {job.total:,} images are {state}. "
        f"Resume with: iraas submit --resume {job.job_id}\n"
    )
