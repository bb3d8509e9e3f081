"""By what names requests are counted: few, whatever clients ask for."""

from starlette.routing import Route
from starlette.types import Scope

STATIC = "static"
STATIC_PREFIX = "/static/"
REFUSED = "refused"
"""What did not pass the gate."""
NONE = "none"
"""What no route answers."""
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "DELETE", "PUT", "PATCH"})


class RouteLabels:
    """Names the route of a request that was answered."""

    def __init__(self) -> None:
        self._paths: dict[object, str] | None = None

    def label(self, scope: Scope) -> str:
        """The path of its route, as it was declared."""
        if scope["path"].startswith(STATIC_PREFIX):
            return STATIC
        path: str | None = getattr(scope.get("route"), "path", None)
        return path or self._plain(scope).get(scope.get("endpoint"), NONE)

    def _plain(self, scope: Scope) -> dict[object, str]:
        """Routes that do not go through FastAPI put only what they call in the scope."""
        if self._paths is None and "app" in scope:
            routes = scope["app"].routes
            self._paths = {one.endpoint: one.path for one in routes if isinstance(one, Route)}
        return self._paths or {}


def method_label(scope: Scope) -> str:
    """A request's method, or ``other``."""
    method: str = scope["method"]
    return method if method in METHODS else "other"
