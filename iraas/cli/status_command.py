"""``iraas status``: the state of a deployment."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from iraas.cli.options import JsonOption, with_settings
from iraas.core.settings import Resolved

if TYPE_CHECKING:
    from iraas.services.status import Status

REFRESH_S = 1.0


@with_settings()
def status(
    resolved: Resolved,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show queue depth, workers, throughput and the controller's last decision.

    Rebuilt at each look from the queues, the stores and the fleet.

    Example:  iraas status --watch
    """
    from rich.live import Live  # noqa: PLC0415 - not for --help

    from iraas.cli.composition import open_backend  # noqa: PLC0415 - not for --help
    from iraas.cli.render import (  # noqa: PLC0415 - not for --help
        console,
        print_json,
        status_view,
    )
    from iraas.services.status import take_status  # noqa: PLC0415 - not for --help

    out = console()
    with open_backend(resolved.settings) as backend:

        def look() -> "Status":
            return take_status(backend, resolved.settings.deployment, time.time)

        if as_json:
            print_json(look().to_json())
            while watch:
                time.sleep(REFRESH_S)
                print_json(look().to_json())
        elif watch:
            with Live(status_view(look()), console=out, auto_refresh=False) as live:
                while True:
                    time.sleep(REFRESH_S)
                    live.update(status_view(look()), refresh=True)
        else:
            out.print(status_view(look()))
