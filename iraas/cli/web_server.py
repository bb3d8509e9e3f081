"""Loading the web tier, an optional extra, and the options of the commands that serve it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from iraas.core.settings import Settings
from iraas.errors import MissingExtraError, how_to_install
from iraas.web.config import WebConfig

MIN_BUFFERED_IMAGES = 5
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
"""The settings that every command that serves the web tier has options for."""


def load_web_tier(settings: Settings) -> Callable[..., None]:
    """Load `iraas.web.server.serve`, configured from the settings.

    Raises:
        MissingExtraError: A package that it needs is not installed.
    """
    try:
        from iraas.web.server import serve  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as exc:
        raise MissingExtraError(
            f"the web tier needs a package that is not installed: {exc.name}",
            remedy=how_to_install("web"),
        ) from exc
    usual = WebConfig()
    quota_bytes = settings.max_stored_bytes
    storage = replace(
        usual.storage,
        min_free_bytes=settings.min_free_bytes,
        max_stored_bytes=usual.storage.max_stored_bytes if quota_bytes is None else quota_bytes,
    )
    limits = WebConfig(
        max_image_bytes=settings.max_image_bytes,
        max_pixels=settings.max_pixels,
        image_cpu_s=settings.image_cpu_s,
        # One client's share must hold one image of the largest size.
        max_buffered_bytes=max(
            usual.max_buffered_bytes, MIN_BUFFERED_IMAGES * settings.max_image_bytes
        ),
        max_pending=settings.max_pending,
        storage=storage,
        webhook_hosts=settings.webhook_hosts,
        webhook_secret=settings.webhook_secret or "",
    )
    return partial(
        serve,
        deployment=settings.deployment,
        token=settings.token,
        limits=limits,
        public_url=settings.public_url or "",
    )
