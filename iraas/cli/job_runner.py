"""Sending a job and following it on a terminal or in a pipe, for the commands that do."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from iraas.bootstrap import (
    iraas_command,
    iraas_environment,
    make_controller,
    new_requester_id,
)
from iraas.cli.budget import spending_at_most
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
from iraas.core.ports import Backend
from iraas.core.settings import Settings
from iraas.errors import IraasError
from iraas.jobs.store import iter_manifest, stored_indexes

if TYPE_CHECKING:
    from iraas.controller.controller import Controller

log = logging.getLogger(__name__)
RETRY_S = 5.0


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
    """Send what a job still misses, follow it to its end, and exit by what became of it.

    Args:
        settings: The settings.
        backend: The deployment.
        job: The job.
        save: Where all outcomes are saved to.
        timeout_s: How long it may take.
        as_json: Whether to print JSON.
        max_spend_usd: Dollars at which nothing more is launched.
        shown: Which outcomes are printed, by their places; None for all.
    """
    submission = JobSubmission(
        backend,
        job,
        requester_id=new_requester_id("submit"),
        max_image_bytes=settings.max_image_bytes,
        config=SubmissionConfig() if timeout_s is None else SubmissionConfig(timeout_s=timeout_s),
        storage=_storage_limits(settings),
    )
    report = OutcomePrinter(as_json=as_json)
    begun = False
    progress = job_progress(job.total, lambda: len(backend.fleet.instances()))
    try:
        with (
            saving(save) as write,
            spending_at_most(backend, max_spend_usd),
            running_controller(settings, backend) as controller,
            _interrupts(submission, progress) as interrupted,
            progress,
        ):
            for outcome in submission.outcomes():
                controller.check()
                if outcome is None and not begun:
                    begun = True
                    progress.start_from(submission.done)
                if outcome is not None:
                    report.count(outcome)
                    if shown is None or shown.has(split_request_id(outcome.request_id)[1]):
                        report.show(outcome)
                    write(outcome)
                progress.update(submission.done, report.failed)
    except (IraasError, OSError, KeyboardInterrupt):
        _tell_how_to_resume(job, submission.done)
        raise
    report.close(save, missing=job.total - submission.done)
    if not submission.is_complete and interrupted.is_set():
        _tell_how_to_resume(job, submission.done)
        raise typer.Exit(ExitCode.INTERRUPTED)
    if report.failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def send_and_leave(settings: Settings, backend: Backend, job: Job, *, as_json: bool) -> None:
    """Send what a job still misses, see to it that a controller runs, print the job's id."""
    concluded = OutcomeLedger(job.total)
    for index in stored_indexes(backend, job):
        concluded.mark(index)
    dispatch = JobSender(
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
        refused += len(dispatch.take_refused())
        progress.update(sent, refused)

    try:
        with progress:
            dispatch.send_all(iter_manifest(backend, job), count)
    except (IraasError, OSError, KeyboardInterrupt):
        _tell_how_to_resume(job, sent, state="sent")
        raise
    if as_json:
        print_json({"job_id": job.job_id, "images": job.total, "refused": refused})
    else:
        typer.echo(job.job_id)
        typer.echo(f"See how it goes with: iraas results {job.job_id} --follow", err=True)
    if refused:
        typer.echo(f"{refused:,} of them cannot be labelled", err=True)
        raise typer.Exit(ExitCode.SOME_FAILED)


def _storage_limits(settings: Settings) -> StorageLimits:
    """The room for images; whoever sends their own to their own disk has no quota by default."""
    return StorageLimits(
        min_free_bytes=settings.min_free_bytes, max_stored_bytes=settings.max_stored_bytes or 0
    )


class ControllerWatch:
    """Tells whether the controller in a thread of this process can work."""

    def __init__(self, controller: "Controller") -> None:
        self._controller = controller
        self.error: IraasError | None = None

    def check(self) -> None:
        """Do nothing, unless something keeps the controller from starting any worker.

        Raises:
            IraasError: It does.
        """
        error = self.error or self._controller.configuration_error
        if error is not None:
            raise error


@contextmanager
def running_controller(settings: Settings, backend: Backend) -> Iterator[ControllerWatch]:
    """Act as the deployment's controller for as long as this lasts, unless another one does.

    What keeps it from its work is for the caller to ask; it tries again, whatever the answer.
    """
    stop = threading.Event()
    controller = make_controller(settings, backend)
    watch = ControllerWatch(controller)

    def run() -> None:
        while not stop.is_set():
            try:
                controller.run(stop)
            except IraasError as error:
                watch.error = error
                if not stop.wait(RETRY_S):
                    log.warning("the controller begins anew: %s", error)

    thread = threading.Thread(target=run, name="controller", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join(timeout=10)


def start_controller(settings: Settings, backend: Backend) -> None:
    """Start a controller that stays until the queue is empty, if the deployment has none.

    Only on this machine's own backend: elsewhere it would depend on this machine staying on.
    """
    if backend.lease.holder():
        return
    if backend.name != "local":
        typer.echo("No controller is running: start one with iraas controller.", err=True)
        return
    subprocess.Popen(
        iraas_command("controller", "--until-idle"),
        env=iraas_environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextmanager
def _interrupts(submission: JobSubmission, progress: ProgressReporter) -> Iterator[threading.Event]:
    """The first Ctrl-C drains, the second leaves."""
    interrupted = threading.Event()

    def handle(_number: int, _frame: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        submission.drain()
        progress.say("Waiting for what was sent; Ctrl-C again leaves at once.")

    with _handler(signal.SIGINT, handle), _handler(signal.SIGTERM, handle):
        yield interrupted


@contextmanager
def _handler(number: signal.Signals, handle: Callable[[int, object], None]) -> Iterator[None]:
    before = signal.signal(number, handle)
    try:
        yield
    finally:
        signal.signal(number, before)


def _tell_how_to_resume(job: Job, done: int, *, state: str = "done") -> None:
    sys.stderr.write(
        f"{done:,} of {job.total:,} images are {state}. "
        f"Resume with: iraas submit --resume {job.job_id}\n"
    )
