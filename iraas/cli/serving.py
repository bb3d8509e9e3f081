"""Loading the web tier, which is an extra."""

from collections.abc import Callable

from iraas.errors import MissingExtraError


def load_web_tier() -> Callable[..., None]:
    """What serves the web tier: `iraas.web.server.serve`.

    Raises:
        MissingExtraError: A package that it needs is not installed.
    """
    try:
        from iraas.web.server import serve  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as exc:
        raise MissingExtraError(
            f"the web tier needs a package that is not installed: {exc.name}",
            remedy="pip install 'iraas[web]'",
        ) from exc
    return serve
