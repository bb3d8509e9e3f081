"""Counting what came of all requests, in memory that hardly grows with their number."""

from array import array
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from iraas.core.latencies import HistogramBucket, histogram, percentile
from iraas.loadgen.answers import Failure, Measured
from iraas.loadgen.sampling import Observation

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 100.0)


@dataclass(frozen=True, slots=True)
class Latencies:
    """Percentiles of the latencies of the requests that succeeded, in seconds."""

    p50: float
    p90: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class FleetUse:
    """What the fleet did during the run, as far as the samples tell.

    Attributes:
        most_workers: The most workers at once, those on their way included.
        worker_seconds: Workers summed over time, until the end of the run.
    """

    most_workers: int
    worker_seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a run.

    Attributes:
        sent: Requests begun.
        succeeded: Those that got a label, right or not.
        failed: Those that failed.
        unfinished: Those given up because the run was ended early.
        right: Labels that are the expected ones; None if none was expected.
        wrong: Labels that are not; None if none was expected.
        failures: How many failed in each way.
        reasons: For each way the first reason that was given.
        retries: How often requests were turned away for a while (429) and sent again.
        total_s: From the start to the last answer.
        images_per_s: Labels per second of the total time.
        latencies: None if nothing succeeded.
        histogram: The latencies of those that succeeded, in bars.
        first_result_s: From the start to the first label; None if there was none.
        late_s: The longest that a request began after it was due.
        fleet: None if there are no samples.
        cpu_ms_per_request: What making the load cost this process.
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
        """The result as a JSON object, times rounded to microseconds."""
        value: dict[str, Any] = _rounded(asdict(self))
        return value


class Aggregator:
    """Counts requests as they end.

    Attributes:
        succeeded: Those that got a label.
        failed: Those that failed.
        retries: How often requests were turned away for a while.
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
    def ended(self) -> int:
        """Requests that ended, one way or the other."""
        return self.succeeded + self.failed

    def add(self, one: Measured) -> None:
        """Count a request."""
        self.retries += one.answer.retries
        self._last_s = max(self._last_s, one.ended_s)
        self._late_s = max(self._late_s, one.started_s - one.due_s)
        failure = one.answer.failure
        if failure is not None:
            self.failed += 1
            self._failures[failure] = self._failures.get(failure, 0) + 1
            self._reasons.setdefault(failure, one.answer.reason)
            return
        self.succeeded += 1
        self._latencies.append(one.latency_s)
        if self._first_s is None:
            self._first_s = one.ended_s
        if one.is_right is not None:
            self._right += one.is_right
            self._wrong += not one.is_right

    def summary(
        self, *, sent: int, labelled: bool, observed: list[Observation], cpu_s: float
    ) -> Summary:
        """Sum it all up.

        Args:
            sent: Requests begun.
            labelled: Whether somebody said what is right.
            observed: Samples of the deployment during the run.
            cpu_s: The CPU time of this process during the run.
        """
        ordered = sorted(self._latencies)
        return Summary(
            sent=sent,
            succeeded=self.succeeded,
            failed=self.failed,
            unfinished=sent - self.ended,
            right=self._right if labelled else None,
            wrong=self._wrong if labelled else None,
            failures={one.value: count for one, count in self._failures.items()},
            reasons={one.value: reason for one, reason in self._reasons.items()},
            retries=self.retries,
            total_s=self._last_s,
            images_per_s=self.succeeded / self._last_s if self._last_s else 0.0,
            latencies=_latencies(ordered),
            histogram=tuple(histogram(ordered)),
            first_result_s=self._first_s,
            late_s=self._late_s,
            fleet=fleet_use(observed, self._last_s),
            cpu_ms_per_request=1000 * cpu_s / sent if sent else 0.0,
        )


def fleet_use(observed: list[Observation], end_s: float) -> FleetUse | None:
    """Sum up the samples of a run that ended at that time; None if there are none."""
    during = [one for one in observed if one.at_s <= end_s]
    if not during:
        return None
    steps = pairwise([*((one.at_s, one.workers) for one in during), (end_s, 0)])
    return FleetUse(
        most_workers=max(one.workers for one in during),
        worker_seconds=sum(workers * (after_s - at_s) for (at_s, workers), (after_s, _) in steps),
    )


def _latencies(ordered: list[float]) -> Latencies | None:
    if not ordered:
        return None
    return Latencies(*(percentile(ordered, one) for one in PERCENTILES))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value
