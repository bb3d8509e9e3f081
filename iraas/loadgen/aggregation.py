"""Aggregating the results of all requests, in memory that hardly grows with their number."""

from array import array
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from iraas.core.latencies import HistogramBucket, histogram, percentile
from iraas.loadgen.results import Failure, Measurement
from iraas.loadgen.sampling import LoadSample

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 100.0)


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latency percentiles of the successful requests, in seconds."""

    p50: float
    p90: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class FleetUse:
    """Use of the fleet during the run, according to the samples.

    Attributes:
        most_workers: Highest number of workers, including starting ones.
        worker_seconds: Workers integrated over time, until the end of the run.
    """

    most_workers: int
    worker_seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of a run.

    Attributes:
        sent: Requests started.
        succeeded: Requests that got a label, right or not.
        failed: Requests that failed.
        unfinished: Requests given up because the run was ended early.
        right: Labels equal to the expected ones; None if none was expected.
        wrong: Labels that differ; None if none was expected.
        failures: Number of failures by kind.
        reasons: The first reason of each kind of failure.
        retries: How often requests were rejected temporarily (429) and retried.
        total_s: From the start to the last result.
        images_per_s: Labels per second of the total time.
        latencies: Percentiles; None if nothing succeeded.
        histogram: Latencies of the successful requests.
        first_result_s: From the start to the first label; None if there was none.
        late_s: The longest delay of a request after it was due.
        fleet: Use of the fleet; None without samples.
        cpu_ms_per_request: CPU time of this process per request.
    """

    sent: int
    succeeded: int
    failed: int
    unfinished: int
    right: int | None
    wrong: int | None
    failures: dict[str, int]
    reasons: dict[str, str]
    retries: int
    total_s: float
    images_per_s: float
    latencies: Latencies | None
    histogram: tuple[HistogramBucket, ...]
    first_result_s: float | None
    late_s: float
    fleet: FleetUse | None
    cpu_ms_per_request: float

    def to_json(self) -> dict[str, Any]:
        """Return the summary as a JSON object, times rounded to microseconds."""
        value: dict[str, Any] = _rounded(asdict(self))
        return value


class Aggregator:
    """Aggregates completed requests. Not thread-safe.

    Attributes:
        succeeded: Requests that got a label.
        failed: Requests that failed.
        retries: How often requests were rejected temporarily (429).
    """

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0
        self.retries = 0
        self._right = 0
        self._wrong = 0
        self._failures: dict[Failure, int] = {}
        self._reasons: dict[Failure, str] = {}
        self._latencies = array("d")
        self._last_s = 0.0
        self._late_s = 0.0
        self._first_s: float | None = None

    @property
    def completed(self) -> int:
        """Completed requests, successful or not."""
        return self.succeeded + self.failed

    def add(self, measurement: Measurement) -> None:
        """Count a completed request."""
        self.retries += measurement.result.retries
        self._last_s = max(self._last_s, measurement.ended_s)
        self._late_s = max(self._late_s, measurement.started_s - measurement.due_s)
        failure = measurement.result.failure
        if failure is not None:
            self.failed += 1
            self._failures[failure] = self._failures.get(failure, 0) + 1
            self._reasons.setdefault(failure, measurement.result.reason)
            return
        self.succeeded += 1
        self._latencies.append(measurement.latency_s)
        if self._first_s is None:
            self._first_s = measurement.ended_s
        if measurement.is_right is not None:
            self._right += measurement.is_right
            self._wrong += not measurement.is_right

    def summary(
        self, *, sent: int, labelled: bool, samples: list[LoadSample], cpu_s: float
    ) -> Summary:
        """Summarize the run.

        Args:
            sent: Requests started.
            labelled: Whether labels were expected.
            samples: Samples of the deployment during the run.
            cpu_s: CPU time of this process during the run, in seconds.
        """
        ordered = sorted(self._latencies)
        return Summary(
            sent=sent,
            succeeded=self.succeeded,
            failed=self.failed,
            unfinished=sent - self.completed,
            right=self._right if labelled else None,
            wrong=self._wrong if labelled else None,
            failures={failure.value: count for failure, count in self._failures.items()},
            reasons={failure.value: reason for failure, reason in self._reasons.items()},
            retries=self.retries,
            total_s=self._last_s,
            images_per_s=self.succeeded / self._last_s if self._last_s else 0.0,
            latencies=_latencies(ordered),
            histogram=tuple(histogram(ordered)),
            first_result_s=self._first_s,
            late_s=self._late_s,
            fleet=fleet_use(samples, self._last_s),
            cpu_ms_per_request=1000 * cpu_s / sent if sent else 0.0,
        )


def fleet_use(samples: list[LoadSample], end_s: float) -> FleetUse | None:
    """Summarize the samples of a run.

    Args:
        samples: The samples, in order.
        end_s: End of the run; later samples are ignored.

    Returns:
        The use of the fleet; None without samples.
    """
    during = [sample for sample in samples if sample.at_s <= end_s]
    if not during:
        return None
    steps = pairwise([*((sample.at_s, sample.workers) for sample in during), (end_s, 0)])
    return FleetUse(
        most_workers=max(sample.workers for sample in during),
        worker_seconds=sum(workers * (after_s - at_s) for (at_s, workers), (after_s, _) in steps),
    )


def _latencies(ordered: list[float]) -> Latencies | None:
    if not ordered:
        return None
    return Latencies(*(percentile(ordered, percent) for percent in PERCENTILES))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
