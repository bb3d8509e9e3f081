"""``iraas up``: a whole deployment on this machine, in the foreground."""

import time

import typer

from iraas.cli.options import with_settings
from iraas.core.settings import Resolved

REFRESH_S = 1.0


@with_settings("model", "max_workers", "images_per_worker")
def up(resolved: Resolved) -> None:
    """Run the controller here and show the deployment live, until Ctrl-C.

    Example:  iraas up --max-workers 4
    """
    from rich.console import Console  # noqa: PLC0415 - not for --help
    from rich.live import Live  # noqa: PLC0415 - not for --help

    from iraas.cli.composition import ensure_model, open_backend  # noqa: PLC0415 - not for --help
    from iraas.cli.following_job import running_controller  # noqa: PLC0415 - not for --help
    from iraas.cli.render import status_view  # noqa: PLC0415 - not for --help
    from iraas.cli.stopping import stop_on_signals  # noqa: PLC0415 - not for --help
    from iraas.services.status import take_status  # noqa: PLC0415 - not for --help

    settings = resolved.settings
    ensure_model(settings, lambda text: typer.echo(text, err=True))
    console = Console(stderr=True)
    with (
        open_backend(settings) as backend,
        stop_on_signals() as stop,
        running_controller(settings, backend),
    ):
        typer.echo(f"The deployment {settings.deployment} is up. Ctrl-C stops it.", err=True)
        if not console.is_terminal:
            stop.wait()
            return
        with Live(console=console, auto_refresh=False) as live:
            while not stop.wait(REFRESH_S):
                seen = take_status(backend, settings.deployment, time.time)
                live.update(status_view(seen), refresh=True)
