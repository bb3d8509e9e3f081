"""Prometheus metrics, and the bounded labels by which requests are counted."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.routing import Route
from starlette.types import Scope

from iraas.monitoring.status import Status

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
STATIC = "static"
STATIC_PREFIX = "/static/"
REFUSED = "refused"
"""Label of requests rejected by the security middleware."""
NONE = "none"
"""Label of requests that match no route."""
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "DELETE", "PUT", "PATCH"})


class Metrics:
    """The metrics of one web process, in a registry of its own. Thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "iraas_http_requests",
            "HTTP requests, by route, method and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "iraas_http_request_seconds",
            "Time until an HTTP response was complete.",
            ("route",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.accepted = Counter(
            "iraas_images_accepted", "Images put on the request queue.", registry=self.registry
        )
        self.refused = Counter(
            "iraas_images_refused", "Files that were not images.", registry=self.registry
        )
        self.pending = Gauge(
            "iraas_images_pending",
            "Images without an outcome, approximately.",
            registry=self.registry,
        )
        self.streams = Gauge("iraas_event_streams", "Open event streams.", registry=self.registry)
        self._queue = Gauge(
            "iraas_queue_messages",
            "Messages on the request queue and the dead-letter queue.",
            ("state",),
            registry=self.registry,
        )
        self._workers = Gauge(
            "iraas_workers", "Workers by state.", ("state",), registry=self.registry
        )
        self._outcomes = Gauge(
            "iraas_outcomes", "Outcomes stored by the workers on record.", registry=self.registry
        )
        self._rate = Gauge(
            "iraas_images_per_second", "Throughput of all workers.", registry=self.registry
        )

    def record_response(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a response.

        Args:
            route: The route's label, from `RouteLabels`.
            method: The method's label, from `method_label`.
            status: The HTTP status.
            seconds: Time from the request's head to the end of the response.
        """
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def exposition(self, status: Status | None, pending: int) -> bytes:
        """Render all metrics in Prometheus's text format.

        Args:
            status: The deployment's status; None if it is not available.
            pending: Approximate number of images without an outcome.
        """
        self.pending.set(pending)
        if status is not None:
            self._update(status)
        return generate_latest(self.registry)

    def _update(self, status: Status) -> None:
        for state, count in (
            ("visible", status.queue.visible),
            ("in_flight", status.queue.in_flight),
            ("delayed", status.queue.delayed),
            ("dead_letter", status.dead_letters),
        ):
            self._queue.labels(state).set(count)
        self._workers.clear()
        for worker in status.workers:
            self._workers.labels(worker.state).inc()
        self._outcomes.set(status.done)
        self._rate.set(status.images_per_s)


class RouteLabels:
    """Finds the label of a request's route: few values, whatever paths clients ask for."""

    def __init__(self) -> None:
        self._paths: dict[object, str] | None = None

    def label(self, scope: Scope) -> str:
        """Return the path of a handled request's route, as it was declared."""
        if scope["path"].startswith(STATIC_PREFIX):
            return STATIC
        path: str | None = getattr(scope.get("route"), "path", None)
        return path or self._plain(scope).get(scope.get("endpoint"), NONE)

    def _plain(self, scope: Scope) -> dict[object, str]:
        """Map endpoints to paths: plain Starlette routes leave only the endpoint in the scope."""
        if self._paths is None and "app" in scope:
            routes = scope["app"].routes
            self._paths = {
                route.endpoint: route.path for route in routes if isinstance(route, Route)
            }
        return self._paths or {}


def method_label(scope: Scope) -> str:
    """Return a request's method, or ``other``."""
    method: str = scope["method"]
    return method if method in METHODS else "other"
