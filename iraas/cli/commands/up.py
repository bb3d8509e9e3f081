"""``iraas up``: a whole deployment on this machine, in the foreground."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from iraas.cli.commands.serve_web import WEB_SETTINGS, HostOption, PortOption
from iraas.cli.options import with_settings
from iraas.core.settings import ResolvedSettings

if TYPE_CHECKING:
    from iraas.monitoring.status import Status

REFRESH_S = 1.0


@with_settings(*WEB_SETTINGS, "model", "max_workers", "images_per_worker")
def up(resolved: ResolvedSettings, host: HostOption = "127.0.0.1", port: PortOption = 8000) -> None:
    """Run the web tier and the controller here, with live status, until Ctrl-C.

    Example:  iraas up --max-workers 4
    """
    from iraas.bootstrap import ensure_model_here, open_backend  # noqa: PLC0415 - not for --help
    from iraas.cli.job_runner import running_controller  # noqa: PLC0415 - not for --help
    from iraas.cli.web_server import load_web_tier  # noqa: PLC0415 - not for --help
    from iraas.monitoring.status import take_status  # noqa: PLC0415 - not for --help

    settings = resolved.settings
    serve = load_web_tier(settings)
    ensure_model_here(settings)
    with open_backend(settings) as backend, running_controller(settings, backend):

        def look() -> "Status":
            return take_status(backend, settings.deployment, time.time)

        def greet(url: str) -> None:
            typer.echo(f"The deployment {settings.deployment} is up: {url}", err=True)
            typer.echo("Ctrl-C stops it.", err=True)

        with _live(look):
            serve(
                backend,
                host=host,
                port=port,
                ready=greet,
            )


@contextmanager
def _live(look: "Callable[[], Status]") -> Iterator[None]:
    """Show the status on a terminal, from a thread, for as long as this lasts."""
    from rich.live import Live  # noqa: PLC0415 - not for --help

    from iraas.cli.output.render import cell, console, status_view  # noqa: PLC0415 - as above
    from iraas.errors import IraasError  # noqa: PLC0415 - not for --help

    out = console(stderr=True)
    if not out.is_terminal:
        yield
        return
    stop = threading.Event()

    def show(live: Live) -> None:
        while not stop.wait(REFRESH_S):
            try:
                live.update(status_view(look()), refresh=True)
            except IraasError as error:
                live.update(cell(str(error)), refresh=True)

    with Live(console=out, auto_refresh=False) as live:
        thread = threading.Thread(target=show, args=(live,), name="status", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=5)
