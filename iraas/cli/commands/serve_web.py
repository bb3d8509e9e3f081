"""``iraas serve-web``: the upload page, the results page and the HTTP API."""

import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from iraas.bootstrap import ensure_model_here, open_backend
from iraas.cli.controllers import running_controller
from iraas.cli.options import with_settings
from iraas.cli.web_server import WEB_SETTINGS, HostOption, PortOption, load_web_tier
from iraas.core.settings import ResolvedSettings


@with_settings(*WEB_SETTINGS, "model", "max_workers")
def serve_web(
    resolved: ResolvedSettings,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    controller: Annotated[
        bool | None,
        typer.Option(
            "--controller/--no-controller",
            help="Also start workers, unless another controller does; by default if local.",
        ),
    ] = None,
) -> None:
    """Serve the web tier until told to stop.

    It listens beyond this machine only with a token, which pages ask for and programs send as
    Authorization: Bearer TOKEN.

    Example:  IRAAS_TOKEN=$(openssl rand -hex 16) iraas serve-web --host 0.0.0.0
    """
    settings = resolved.settings
    serve = load_web_tier(settings)
    with ExitStack() as stack:
        backend = stack.enter_context(open_backend(settings))
        if controller if controller is not None else settings.backend == "local":
            ensure_model_here(settings)
            stack.enter_context(running_controller(settings, backend))
        serve(
            backend,
            host=host,
            port=port,
            ready=lambda url: typer.echo(f"The web tier is at {url}", file=sys.stderr),
        )
