"""Loading the web tier, which is an extra."""

from collections.abc import Callable
from typing import Any

from iraas.errors import MissingExtraError


def load_web_tier() -> Callable[..., None]:
    """What serves the web tier: `iraas.web.server.serve`, with the largest picture in bytes.

    Raises:
        MissingExtraError: A package that it needs is not installed.
    """
    try:
        from iraas.web.limits import WebLimits  # noqa: PLC0415 - an extra
        from iraas.web.server import serve  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as exc:
        raise MissingExtraError(
            f"the web tier needs a package that is not installed: {exc.name}",
            remedy="pip install 'iraas[web]'",
        ) from exc

    def serve_up_to(*arguments: Any, max_image_bytes: int, **named: Any) -> None:
        serve(*arguments, limits=WebLimits(max_image_bytes=max_image_bytes), **named)

    return serve_up_to
