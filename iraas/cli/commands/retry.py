"""``iraas retry``: send a job's failed images again."""

import typer

from iraas.bootstrap import ensure_model_here, open_backend
from iraas.cli.job_argument import JobArgument
from iraas.cli.job_runner import follow_job, send_and_leave
from iraas.cli.options import (
    JsonOption,
    NoWaitOption,
    SaveOption,
    TimeoutOption,
    with_settings,
)
from iraas.cli.output.pluralize import pluralize
from iraas.client.outcome_ledger import OutcomeLedger
from iraas.client.retry import delete_failed_outcomes
from iraas.core.ids import check_job_id
from iraas.core.settings import ResolvedSettings
from iraas.jobs.store import get_job


@with_settings("model", "max_workers", "max_image_bytes")
def retry(
    resolved: ResolvedSettings,
    job: JobArgument,
    save: SaveOption = None,
    timeout: TimeoutOption = None,
    no_wait: NoWaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send the failed images of a job again, and follow them.

    Their failure outcomes are deleted first. An image is read from its original file if that still
    exists, and otherwise from the input store. Only the retried images are printed; --save saves
    the whole job.

    Example:  iraas retry 01kb3v9x4q0000000000000000
    """
    settings = resolved.settings
    ensure_model_here(settings)
    with open_backend(settings) as backend:
        found = get_job(backend, check_job_id(job))
        again = OutcomeLedger(found.total)
        for index in delete_failed_outcomes(backend, found):
            again.mark(index)
        typer.echo(f"{pluralize(again.concluded, 'failed image')} to try again", err=True)
        if no_wait:
            send_and_leave(settings, backend, found, as_json=as_json)
            return
        follow_job(
            settings,
            backend,
            found,
            save=save,
            timeout_s=timeout,
            as_json=as_json,
            shown=again,
        )
