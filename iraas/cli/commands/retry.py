"""``iraas retry``: send a job's failed images again."""

import typer

from iraas.cli.commands.submit import NoWaitOption, SaveOption, TimeoutOption
from iraas.cli.options import JobArgument, JsonOption, with_settings
from iraas.cli.output.pluralize import pluralize
from iraas.core.settings import ResolvedSettings


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

    Their failure outcomes are forgotten first. An image is read from where it was sent from if it
    is there, and otherwise taken from the input store. Only what is tried again is printed; --save
    saves the whole job.

    Example:  iraas retry 01kb3v9x4q0000000000000000
    """
    from iraas.bootstrap import ensure_model_here, open_backend  # noqa: PLC0415 - not for --help
    from iraas.cli.job_runner import follow_job, send_and_leave  # noqa: PLC0415 - not for --help
    from iraas.client.outcome_ledger import OutcomeLedger  # noqa: PLC0415 - not for --help
    from iraas.client.retry import delete_failed_outcomes  # noqa: PLC0415 - not for --help
    from iraas.core.ids import check_job_id  # noqa: PLC0415 - not for --help
    from iraas.jobs.store import get_job  # noqa: PLC0415 - not for --help

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
