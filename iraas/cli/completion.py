"""What the shell offers when a person presses Tab."""

from collections.abc import Callable, Mapping

import typer

from iraas.errors import IraasError

NEWEST_JOBS = 50


def _one_of(*values: str) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [one for one in values if one.startswith(incomplete)]

    return complete


COMPLETIONS: Mapping[str, Callable[[str], list[str]]] = {
    "backend": _one_of("local", "aws"),
    "pricing": _one_of("spot", "on-demand", "spot,on-demand"),
}
"""What completes an option's value, by the name of its setting."""


def job_ids(context: typer.Context, incomplete: str) -> list[str]:
    """The newest jobs; only on this machine's own backend, for another takes too long to ask."""
    from iraas.bootstrap import open_backend  # noqa: PLC0415 - not for each Tab
    from iraas.cli.settings import resolve_settings  # noqa: PLC0415 - not for each Tab
    from iraas.core.keys import JOBS  # noqa: PLC0415 - not for each Tab

    names = ("deployment", "backend", "home")
    given = {name: context.params.get(name) for name in names}
    try:
        profile, config = (context.params.get(name) for name in ("profile", "config"))
        settings = resolve_settings(given, profile, config).settings
        if settings.backend != "local":
            return []
        with open_backend(settings) as backend:
            keys = [one.key for one in backend.records.list(JOBS)]
    except (IraasError, OSError):
        return []
    ids = [key.removeprefix(JOBS).removesuffix(".json") for key in keys]
    return [one for one in reversed(ids) if one.startswith(incomplete)][:NEWEST_JOBS]
