"""``iraas jobs``: the jobs of a deployment."""

from iraas.bootstrap import open_backend
from iraas.cli.options import JsonOption, with_settings
from iraas.cli.output.render import (
    console,
    job_json,
    job_table,
    print_json,
)
from iraas.core.settings import ResolvedSettings
from iraas.jobs.store import list_jobs


@with_settings()
def jobs(resolved: ResolvedSettings, as_json: JsonOption = False) -> None:
    """List the jobs, the oldest first.

    Example:  iraas jobs --json
    """
    with open_backend(resolved.settings) as backend:
        if as_json:
            for listing in list_jobs(backend):
                print_json(job_json(listing))
        else:
            console().print(job_table(list_jobs(backend)))
