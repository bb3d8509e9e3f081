"""``iraas jobs``: the jobs of a deployment."""

from iraas.cli.options import JsonOption, with_settings
from iraas.core.settings import ResolvedSettings


@with_settings()
def jobs(resolved: ResolvedSettings, as_json: JsonOption = False) -> None:
    """List the jobs, the oldest first.

    Example:  iraas jobs --json
    """
    from iraas.bootstrap import open_backend  # noqa: PLC0415 - not for --help
    from iraas.cli.output.render import (  # noqa: PLC0415 - not for --help
        console,
        job_json,
        job_table,
        print_json,
    )
    from iraas.jobs.store import list_jobs  # noqa: PLC0415 - not for --help

    with open_backend(resolved.settings) as backend:
        if as_json:
            for one in list_jobs(backend):
                print_json(job_json(one))
        else:
            console().print(job_table(list_jobs(backend)))
