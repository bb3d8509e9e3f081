"""The argument that names a job, and its completion."""

from typing import Annotated

import typer

from iraas.bootstrap import open_backend
from iraas.cli.settings import resolve_settings
from iraas.core.keys import JOBS
from iraas.errors import IraasError

NEWEST_JOBS = 50


def _job_ids(context: typer.Context, incomplete: str) -> list[str]:
    """The newest jobs; only on this machine's own backend, since any other takes too long."""
    names = ("deployment", "backend", "home")
    given = {name: context.params.get(name) for name in names}
    try:
        profile, config = (context.params.get(name) for name in ("profile", "config"))
        settings = resolve_settings(given, profile, config).settings
        if settings.backend != "local":
            return []
        with open_backend(settings) as backend:
            keys = [entry.key for entry in backend.records.list(JOBS)]
    except (IraasError, OSError):
        return []
    ids = [key.removeprefix(JOBS).removesuffix(".json") for key in keys]
    return [job_id for job_id in reversed(ids) if job_id.startswith(incomplete)][:NEWEST_JOBS]


JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="The job's id.", autocompletion=_job_ids)
]
