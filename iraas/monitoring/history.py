"""The deployment's recent history as samples for charts, persisted in the records store.

Samples are collected in memory and stored per minute. If several processes take samples, their
minutes are merged. While the deployment is idle, only one minute in `QUIET_MINUTES` is stored.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

from iraas.core.keys import HISTORY, history_key
from iraas.core.ports import Backend, QueueDepth
from iraas.errors import ObjectNotFoundError
from iraas.monitoring.status import Status

MINUTE_S = 60
QUIET_MINUTES = 10
MAX_SAMPLES_PER_MINUTE = 60
MAX_MINUTES_KEPT = 2000


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of a deployment at one time.

    Attributes:
        at: Seconds since the epoch.
        visible: Requests that are waiting: the maximum since the previous sample.
        in_flight: Requests under lease: the maximum since the previous sample.
        dead_letters: Messages in the dead-letter queue.
        workers: The number of workers in each state.
        done: Outcomes stored by all recorded workers.
        images_per_s: The throughput of all workers together.
    """

    at: float
    visible: int
    in_flight: int
    dead_letters: int
    workers: dict[str, int] = field(default_factory=dict)
    done: int = 0
    images_per_s: float = 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether the deployment is idle, without workers."""
        return not (self.visible or self.in_flight or self.workers or self.images_per_s)


def sample_of(status: Status) -> Sample:
    """Convert a status to a sample."""
    workers: dict[str, int] = {}
    for worker in status.workers:
        workers[worker.state] = workers.get(worker.state, 0) + 1
    return Sample(
        at=round(status.at, 3),
        visible=status.queue.visible,
        in_flight=status.queue.in_flight,
        dead_letters=status.dead_letters,
        workers=workers,
        done=status.done,
        images_per_s=status.images_per_s,
    )


class History:
    """Collects, stores and reads samples. Thread-safe.

    Args:
        backend: The deployment.
        clock: Returns seconds since the epoch.
    """

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._clock = clock
        self._gathered: list[Sample] = []
        self._latest: Sample | None = None
        self._most_visible = self._most_in_flight = 0
        self._stored_minutes: dict[int, list[Sample]] = {}
        self._quiet_since_minute: int | None = None
        self._lock = threading.Lock()

    def record_depth(self, depth: QueueDepth) -> None:
        """Record the queue's depth between two samples, so that short bursts are not missed."""
        with self._lock:
            self._most_visible = max(self._most_visible, depth.visible)
            self._most_in_flight = max(self._most_in_flight, depth.in_flight)

    def record(self, sample: Sample) -> None:
        """Record a sample; complete minutes are stored.

        Its throughput is computed from `done` since the previous sample, because the workers' own
        rates lag.

        Raises:
            BackendError: The records store failed; the next call stores what is missing.
        """
        with self._lock:
            if self._latest:
                sample = replace(sample, images_per_s=_rate(self._latest, sample))
            sample = replace(
                sample,
                visible=max(sample.visible, self._most_visible),
                in_flight=max(sample.in_flight, self._most_in_flight),
            )
            self._most_visible = self._most_in_flight = 0
            self._latest = sample
            self._gathered.append(sample)
            minute = _minute(sample)
            minutes = {_minute(gathered) for gathered in self._gathered}
        for complete in sorted(minutes):
            if complete < minute:
                self._store(complete)

    def flush(self) -> None:
        """Store all collected samples, before the process exits.

        Raises:
            BackendError: The records store failed.
        """
        with self._lock:
            minutes = sorted({_minute(sample) for sample in self._gathered})
        for minute in minutes:
            self._store(minute)

    def samples(self, since: float) -> list[Sample]:
        """Return the samples since a time, sorted by time.

        Args:
            since: Seconds since the epoch.

        Raises:
            BackendError: The records store failed.
        """
        found: dict[float, Sample] = {}
        this_minute = int(self._clock()) // MINUTE_S
        for entry in self._backend.records.list(HISTORY, after=history_key(int(since) // 60 - 1)):
            minute = int(entry.key[len(HISTORY) : -len(".json")])
            samples = self._stored_minutes.get(minute)
            if samples is None:
                samples = self._read(minute)
                if minute < this_minute - 1:
                    self._cache(minute, samples)
            found |= {sample.at: sample for sample in samples}
        with self._lock:
            found |= {sample.at: sample for sample in self._gathered}
        return [found[at] for at in sorted(found) if at >= since]

    def prune(self, before: float) -> int:
        """Delete old samples. Idempotent.

        Args:
            before: Samples before this time are deleted, in seconds since the epoch.

        Returns:
            The number of deleted minutes.

        Raises:
            BackendError: The records store failed.
        """
        last = history_key(int(before) // MINUTE_S)
        old = []
        for entry in self._backend.records.list(HISTORY):
            if entry.key >= last:
                break
            old.append(entry.key)
        self._backend.records.delete(old)
        return len(old)

    def _store(self, minute: int) -> None:
        with self._lock:
            samples = [sample for sample in self._gathered if _minute(sample) == minute]
        if not self._is_redundant(minute, samples):
            merged = {sample.at: sample for sample in [*self._read(minute), *samples]}
            kept = [merged[at] for at in sorted(merged)][:MAX_SAMPLES_PER_MINUTE]
            data = json.dumps(list(map(asdict, kept)), separators=(",", ":")).encode()
            self._backend.records.put(history_key(minute), data)
        with self._lock:
            self._gathered = [sample for sample in self._gathered if sample not in samples]

    def _is_redundant(self, minute: int, samples: list[Sample]) -> bool:
        """Return whether a minute is as quiet as the last stored one, which is recent."""
        if not all(sample.is_quiet for sample in samples):
            self._quiet_since_minute = None
            return False
        if self._quiet_since_minute is None or minute - self._quiet_since_minute >= QUIET_MINUTES:
            self._quiet_since_minute = minute
            return False
        return True

    def _read(self, minute: int) -> list[Sample]:
        try:
            values = json.loads(self._backend.records.get(history_key(minute)))
            return [Sample(**value) for value in values]
        except (ObjectNotFoundError, ValueError, TypeError):
            return []

    def _cache(self, minute: int, samples: list[Sample]) -> None:
        if len(self._stored_minutes) >= MAX_MINUTES_KEPT:
            self._stored_minutes.clear()
        self._stored_minutes[minute] = samples


def _minute(sample: Sample) -> int:
    return int(sample.at) // MINUTE_S


def _rate(before: Sample, after: Sample) -> float:
    span_s = after.at - before.at
    if span_s <= 0:
        return after.images_per_s
    return round(max(0, after.done - before.done) / span_s, 2)
