"""Loading the web tier, which is an extra."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from iraas.core.settings import Settings
from iraas.errors import MissingExtraError, how_to_install

PICTURES_HELD = 5


def load_web_tier(settings: Settings) -> Callable[..., None]:
    """What serves the web tier: `iraas.web.server.serve`, with what the settings say of it.

    Raises:
        MissingExtraError: A package that it needs is not installed.
    """
    try:
        from iraas.web.config import WebConfig  # noqa: PLC0415 - an extra
        from iraas.web.server import serve  # noqa: PLC0415 - an extra
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
        # One client's share must hold one picture, however large they may be.
        max_buffered_bytes=max(usual.max_buffered_bytes, PICTURES_HELD * settings.max_image_bytes),
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
