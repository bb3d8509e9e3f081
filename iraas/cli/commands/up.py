"""``iraas up``: a whole deployment on this machine, in the foreground."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.live import Live

from iraas.bootstrap import ensure_model_here, open_backend
from iraas.cli.controllers import running_controller
from iraas.cli.options import with_settings
from iraas.cli.output.render import cell, console, status_view
from iraas.cli.web_server import WEB_SETTINGS, HostOption, PortOption, load_web_tier
from iraas.core.settings import ResolvedSettings
from iraas.errors import IraasError
from iraas.monitoring.status import Status, take_status

REFRESH_S = 1.0


@with_settings(*WEB_SETTINGS, "model", "max_workers", "images_per_worker")
def up(resolved: ResolvedSettings, host: HostOption = "127.0.0.1", port: PortOption = 8000) -> None:
    """Run the web tier and the controller here, with live status, until Ctrl-C.

    Example:  iraas up --max-workers 4
    """
    settings = resolved.settings
    serve = load_web_tier(settings)
    ensure_model_here(settings)
    with open_backend(settings) as backend, running_controller(settings, backend):

        def poll() -> Status:
            return take_status(backend, settings.deployment, time.time)

        def print_address(url: str) -> None:
            typer.echo(f"The deployment {settings.deployment} is up: {url}", err=True)
            typer.echo("Ctrl-C stops it.", err=True)

        with _live(poll):
            serve(backend, host=host, port=port, ready=print_address)


@contextmanager
def _live(poll: Callable[[], Status]) -> Iterator[None]:
    """Within the context, show the status on a terminal, from a thread."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield
        return
    stop = threading.Event()

    def show(live: Live) -> None:
        while not stop.wait(REFRESH_S):
            try:
                live.update(status_view(poll()), refresh=True)
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
