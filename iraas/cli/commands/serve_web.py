"""``iraas serve-web``: the upload page, the results page and the HTTP API."""

import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from iraas.cli.options import with_settings
from iraas.core.settings import ResolvedSettings

HostOption = Annotated[str, typer.Option(help="The address to listen on.")]
PortOption = Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")]


WEB_SETTINGS = (
    "token",
    "public_url",
    "webhook_hosts",
    "max_pending",
    "min_free_bytes",
    "max_stored_bytes",
)
"""What every command that serves the web tier has options for."""


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

    Beyond this machine it listens only with a token, which pages ask for and programs send as
    Authorization: Bearer TOKEN.

    Example:  IRAAS_TOKEN=$(openssl rand -hex 16) iraas serve-web --host 0.0.0.0
    """
    from iraas.bootstrap import ensure_model_here, open_backend  # noqa: PLC0415 - not for --help
    from iraas.cli.job_runner import running_controller  # noqa: PLC0415 - not for --help
    from iraas.cli.web_server import load_web_tier  # noqa: PLC0415 - not for --help

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
