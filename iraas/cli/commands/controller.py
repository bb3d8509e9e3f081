"""``iraas controller``: start just enough workers."""

from typing import Annotated

import typer

from iraas.bootstrap import (
    ensure_model_here,
    make_controller,
    max_workers,
    open_backend,
)
from iraas.cli.options import with_settings
from iraas.cli.output.pluralize import pluralize
from iraas.cli.signals import stop_on_signals
from iraas.cli.verbose_controller import VerboseController
from iraas.core.settings import ResolvedSettings


@with_settings("model", "max_workers", "images_per_worker")
def controller(
    resolved: ResolvedSettings,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Leave once no image and no worker is left.")
    ] = False,
) -> None:
    """Start just enough workers for the waiting images, until told to stop.

    Stopping it stops no worker: workers leave by themselves when nothing is left. Each new decision
    is printed on stderr with its reason, and recorded: see iraas status.

    Example:  iraas controller --max-workers 4
    """
    settings = resolved.settings
    ensure_model_here(settings)
    with open_backend(settings) as backend, stop_on_signals() as stop:
        controller = make_controller(settings, backend, VerboseController)
        typer.echo(
            f"The controller of {settings.deployment} ({settings.backend}) starts up to "
            f"{pluralize(max_workers(settings), 'worker')}. Ctrl-C stops it, and no worker.",
            err=True,
        )
        controller.run(stop, until_idle=until_idle)
