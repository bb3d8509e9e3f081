"""The deployment's recent past, as samples: what charts are drawn from. Outlives every process.

Samples are gathered in memory and stored a minute at a time. Where several processes take samples,
their minutes are merged. While nothing happens, nothing is stored but a sign of life now and then.
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
    """A deployment at one moment.

    Attributes:
        at: Seconds since the epoch.
        visible: Requests that wait; the most that were seen since the sample before.
        in_flight: Requests that a worker holds; likewise.
        dead_letters: Messages in the dead-letter queue.
        workers: How many workers there are in each state.
        done: Outcomes stored by all workers on record.
        images_per_s: What all workers do together.
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
        """True if nothing is there and nothing happens."""
        return not (self.visible or self.in_flight or self.workers or self.images_per_s)


def sample_of(status: Status) -> Sample:
    """Make a sample of what is seen now."""
    workers: dict[str, int] = {}
    for one in status.workers:
        workers[one.state] = workers.get(one.state, 0) + 1
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
    """Keeps samples. Thread-safe.

    Args:
        backend: The deployment.
        clock: Gives seconds since the epoch.
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

    def saw(self, depth: QueueDepth) -> None:
        """Take in how deep the queue was between two samples: a burst may fit in there whole."""
        with self._lock:
            self._most_visible = max(self._most_visible, depth.visible)
            self._most_in_flight = max(self._most_in_flight, depth.in_flight)

    def note(self, sample: Sample) -> None:
        """Keep a sample; whole minutes are stored. Its rate is taken from what was done since
        the last one, which is exact where the workers' own rates lag.

        Raises:
            BackendError: The records failed; the next call stores what is missing.
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
            over = sorted({_minute(one) for one in self._gathered if _minute(one) < minute})
        for one in over:
            self._store(one)

    def flush(self) -> None:
        """Store what is gathered, before the process leaves.

        Raises:
            BackendError: The records failed.
        """
        with self._lock:
            minutes = sorted({_minute(one) for one in self._gathered})
        for one in minutes:
            self._store(one)

    def samples(self, since: float) -> list[Sample]:
        """The samples since a time, in seconds since the epoch, in order.

        Raises:
            BackendError: The records failed.
        """
        found: dict[float, Sample] = {}
        this_minute = int(self._clock()) // MINUTE_S
        for one in self._backend.records.list(HISTORY, after=history_key(int(since) // 60 - 1)):
            minute = int(one.key[len(HISTORY) : -len(".json")])
            samples = self._stored_minutes.get(minute)
            if samples is None:
                samples = self._read(minute)
                if minute < this_minute - 1:
                    self._remember(minute, samples)
            found |= {sample.at: sample for sample in samples}
        with self._lock:
            found |= {sample.at: sample for sample in self._gathered}
        return [found[at] for at in sorted(found) if at >= since]

    def prune(self, before: float) -> int:
        """Remove the samples older than a time; tell how many minutes.

        Raises:
            BackendError: The records failed.
        """
        last = history_key(int(before) // MINUTE_S)
        old = []
        for one in self._backend.records.list(HISTORY):
            if one.key >= last:
                break
            old.append(one.key)
        self._backend.records.delete(old)
        return len(old)

    def _store(self, minute: int) -> None:
        with self._lock:
            samples = [one for one in self._gathered if _minute(one) == minute]
        if not self._is_dull(minute, samples):
            merged = {one.at: one for one in [*self._read(minute), *samples]}
            kept = [merged[at] for at in sorted(merged)][:MAX_SAMPLES_PER_MINUTE]
            data = json.dumps([asdict(one) for one in kept], separators=(",", ":")).encode()
            self._backend.records.put(history_key(minute), data)
        with self._lock:
            self._gathered = [one for one in self._gathered if one not in samples]

    def _is_dull(self, minute: int, samples: list[Sample]) -> bool:
        """Tell whether a minute says nothing that the last stored one did not."""
        if not all(one.is_quiet for one in samples):
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

    def _remember(self, minute: int, samples: list[Sample]) -> None:
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
