"""What the web tier tells Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from iraas.monitoring.status import Status

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The metrics of one web process, in a registry of its own."""

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
            "Time until an HTTP answer was complete.",
            ("route",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.accepted = Counter(
            "iraas_images_accepted", "Images put on the request queue.", registry=self.registry
        )
        self.refused = Counter(
            "iraas_images_refused", "Files that were no images.", registry=self.registry
        )
        self.pending = Gauge(
            "iraas_images_pending", "Images without an outcome, about.", registry=self.registry
        )
        self.streams = Gauge(
            "iraas_event_streams", "Event streams that are open.", registry=self.registry
        )
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
            "iraas_images_per_second", "What all workers do together.", registry=self.registry
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def exposition(self, status: Status | None, pending: int) -> bytes:
        """All metrics in Prometheus's text format."""
        self.pending.set(pending)
        if status is not None:
            self._take_in(status)
        return generate_latest(self.registry)

    def _take_in(self, status: Status) -> None:
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
