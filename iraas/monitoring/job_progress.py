"""The progress of one job: updated by replies, corrected from the stores.

It can be rebuilt from the stores in any process and after any restart. It keeps the indexes of
images with an outcome, and only the latest few outcomes themselves.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from iraas.core.ids import split_request_id
from iraas.core.index_set import IndexSet
from iraas.core.jobs import Job, ManifestEntry, decode_page
from iraas.core.keys import index_of_outcome, manifest_prefix, outcomes_of
from iraas.core.outcomes import Outcome
from iraas.core.ports import Backend
from iraas.errors import MessageError, ObjectNotFoundError
from iraas.jobs.refusals import RefusalReader
from iraas.jobs.store import get_job, stored_outcome
from iraas.jobs.uploads import manifest_end

KEPT_OUTCOMES = 256
COUNT_BATCH = 1000
MAX_COUNTED = 20_000
SLOW_READ_S = 0.002
READERS = 8

JobState = Literal["open", "working", "done", "cancelled"]
ImageFilter = Literal["all", "ok", "failed", "waiting"]


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job and its progress.

    Attributes:
        job: The job, with the number of images so far.
        done: Images that have an outcome.
        failed: Failures among the outcomes counted so far.
        is_counted: Whether all outcomes were counted.
    """

    job: Job
    done: int
    failed: int
    is_counted: bool

    @property
    def state(self) -> JobState:
        """``open`` while images may be added; ``cancelled`` until all of its images are done."""
        if self.job.sealed and self.done >= self.job.total:
            return "done"
        if self.job.cancelled:
            return "cancelled"
        return "working" if self.job.sealed else "open"


@dataclass(frozen=True, slots=True)
class JobImage:
    """An image of a job: its index, its name, and its outcome if it has one."""

    index: int
    name: str
    outcome: Outcome | None


class JobProgress:
    """The progress of one job, as known to this process. Thread-safe; it blocks on the stores.

    Args:
        backend: The deployment.
        job_id: The job.
        now: Returns monotonic seconds.

    Attributes:
        refresh_duration_s: How long the last refresh took, in seconds.
    """

    def __init__(self, backend: Backend, job_id: str, now: Callable[[], float]) -> None:
        self.job_id = job_id
        self.refresh_duration_s = 0.0
        self._backend = backend
        self._now = now
        self._job: Job | None = None
        self._known, self._ok, self._failed = IndexSet(), IndexSet(), IndexSet()
        self._refused = RefusalReader(backend)
        self._latest: OrderedDict[int, Outcome] = OrderedDict()
        self._failed_stamps: dict[int, float] = {}
        self._pages: list[tuple[str, int, int]] = []
        self._refreshed_at = float("-inf")
        self._lock = threading.Lock()
        self._store_lock = threading.Lock()

    def refresh(self, older_than_s: float = 0.0) -> None:
        """Read the stores, unless the last refresh is recent enough.

        Args:
            older_than_s: The maximum age, in seconds; raised to 20 times the duration of the last
                refresh. 0 always refreshes.

        Raises:
            JobNotFoundError: There is no such job.
            MessageError: The job's record, its manifest or a batch of refused images is corrupt.
            BackendError: A store failed.
        """
        with self._store_lock:
            started_at = self._now()
            max_age_s = max(older_than_s, 20 * self.refresh_duration_s) if older_than_s else 0.0
            if started_at - self._refreshed_at < max_age_s:
                return
            self._job = self._read_job()
            self._mark_stored()
            self._count(COUNT_BATCH)
            self._refreshed_at = self._now()
            self.refresh_duration_s = self._refreshed_at - started_at

    def expire(self) -> None:
        """Make the next `refresh` read the stores, however recent the last one is."""
        self._refreshed_at = float("-inf")

    def record(self, outcome: Outcome) -> None:
        """Record an outcome from a reply. Never blocks on a store; other jobs' are ignored."""
        try:
            job_id, index = split_request_id(outcome.request_id)
        except ValueError:
            return
        if job_id == self.job_id:
            with self._lock:
                self._mark(index, outcome)

    def forget(self, indexes: list[int]) -> None:
        """Forget the outcomes at these indexes: they were deleted for a retry."""
        with self._lock:
            for index in indexes:
                self._forget(index)

    def summary(self) -> JobSummary:
        """Return the known progress. Call `refresh` at least once before."""
        assert self._job is not None
        with self._lock:
            counted = len(self._ok) + len(self._failed)
            done = len(self._known)
            return JobSummary(self._job, done, len(self._failed), is_counted=counted == done)

    def news(self, seen: IndexSet, limit: int) -> list[Outcome]:
        """Return outcomes that were not seen yet, sorted by index.

        Args:
            seen: The indexes of outcomes that were seen.
            limit: The maximum number of outcomes.

        Raises:
            BackendError: A store failed.
        """
        with self._lock:
            wanted = list(islice(self._known.minus(seen), limit))
        return [outcome for outcome in self._read(wanted).values() if outcome is not None]

    def images(self, *, after: int, limit: int, kind: ImageFilter = "all") -> list[JobImage]:
        """Return a page of the job's images, sorted by index. Call `refresh` at least once before.

        Args:
            after: Only images with a higher index; -1 for all.
            limit: The maximum number of images.
            kind: Only images in this state.

        Raises:
            BackendError: A store failed.
            MessageError: The manifest is corrupt.
        """
        if kind in {"ok", "failed"}:
            with self._store_lock:
                self._count(MAX_COUNTED)
        with self._lock:
            indexes = self._indexes(kind, after)
            wanted = list(islice(indexes, limit))
            known = [index for index in wanted if index in self._known]
        found = self._read(known)
        anonymous = [index for index in wanted if found.get(index) is None]
        names = self._names(anonymous)
        images = []
        for index in wanted:
            outcome = found.get(index)
            name = outcome.name if outcome else names.get(index, "")
            images.append(JobImage(index, name, outcome))
        return images

    def image(self, index: int) -> JobImage | None:
        """Return the image at an index; None if there is none."""
        found = self.images(after=index - 1, limit=1) if index >= 0 else []
        return found[0] if found and found[0].index == index else None

    def _indexes(self, kind: ImageFilter, after: int) -> Iterator[int]:
        assert self._job is not None
        nothing = IndexSet()
        if kind == "ok":
            return self._ok.minus(nothing, after)
        if kind == "failed":
            return self._failed.minus(nothing, after)
        return (self._known if kind == "waiting" else nothing).missing(self._job.total, after)

    def _read_job(self) -> Job:
        job = get_job(self._backend, self.job_id)
        if job.sealed:
            return job
        _, total = manifest_end(self._backend, self.job_id)
        return replace(job, total=total)

    def _mark_stored(self) -> None:
        stored = IndexSet()
        stamps: dict[int, float] = {}
        for entry in self._backend.outputs.list(outcomes_of(self.job_id)):
            index = index_of_outcome(entry.key)
            if index is None:
                self._mark_refused(entry.key)
                continue
            stored.add(index)
            if index in self._failed:
                stamps[index] = entry.modified_at
        for index in self._refused.indexes():
            stored.add(index)
        with self._lock:
            for index in list(stored.minus(self._known)):
                self._known.add(index)
            for index in list(self._failed.minus(stored)):
                self._forget(index)  # it was deleted for a retry, possibly by another process
            for index, stamp in stamps.items():
                if self._failed_stamps.get(index) != stamp:
                    self._failed_stamps[index] = stamp
                    self._failed.discard(index)  # it may have been replaced: read it again
                    self._latest.pop(index, None)

    def _mark_refused(self, key: str) -> None:
        """Count the images of a batch of refused images as failures; other keys are ignored."""
        indexes = self._refused.load(key)
        with self._lock:
            for index in indexes:
                self._known.add(index)
                self._failed.add(index)

    def _forget(self, index: int) -> None:
        self._latest.pop(index, None)
        self._failed_stamps.pop(index, None)
        for ranges in (self._known, self._ok, self._failed):
            ranges.discard(index)

    def _mark(self, index: int, outcome: Outcome) -> None:
        self._known.add(index)
        good = outcome.status == "ok"
        (self._ok if good else self._failed).add(index)
        (self._failed if good else self._ok).discard(index)
        self._latest[index] = outcome
        if len(self._latest) > KEPT_OUTCOMES:
            self._latest.popitem(last=False)

    def _count(self, limit: int) -> None:
        """Read up to `limit` outcomes that exist but have not been counted yet."""
        with self._lock:
            uncounted = [
                index
                for index in islice(self._known.minus(self._ok), limit + len(self._failed))
                if index not in self._failed
            ]
        self._read(uncounted[:limit])

    def _read(self, indexes: list[int]) -> dict[int, Outcome | None]:
        """Read outcomes, in several threads if the store is slow."""
        with self._lock:
            found = {index: self._latest.get(index) for index in indexes}
        missing = [index for index, outcome in found.items() if outcome is None]
        began = self._now()
        for number, index in enumerate(missing):
            found[index] = self._read_one(index)
            if number == 0 and self._now() - began > SLOW_READ_S and len(missing) > READERS:
                rest = missing[1:]
                with ThreadPoolExecutor(READERS) as readers:
                    found |= zip(rest, readers.map(self._read_one, rest), strict=True)
                break
        with self._lock:
            for index in missing:
                outcome = found[index]
                if outcome is None:
                    self._known.discard(index)
                else:
                    self._mark(index, outcome)
        return found

    def _read_one(self, index: int) -> Outcome | None:
        assert self._job is not None
        try:
            if index in self._refused:
                return self._refused.get(index)
            return stored_outcome(self._backend, self._job, index)
        except (ObjectNotFoundError, MessageError):
            return None

    def _names(self, indexes: list[int]) -> dict[int, str]:
        """Read the names of images from the manifest; the pages' index ranges are cached."""
        names: dict[int, str] = {}
        if not indexes:
            return names
        first, last = indexes[0], indexes[-1]
        with self._store_lock:
            for entries in self._pages_between(first, last):
                names |= {
                    entry.index: entry.name for entry in entries if first <= entry.index <= last
                }
        return names

    def _pages_between(self, first: int, last: int) -> Iterator[list[ManifestEntry]]:
        for key, start, end in list(self._pages):
            if start <= last and end > first:
                yield list(decode_page(self._backend.records.get(key)))
        read_up_to = self._pages[-1][0] if self._pages else ""
        if self._pages and self._pages[-1][2] > last:
            return
        for page in self._backend.records.list(manifest_prefix(self.job_id), after=read_up_to):
            entries = list(decode_page(self._backend.records.get(page.key)))
            if entries:
                self._pages.append((page.key, entries[0].index, entries[-1].index + 1))
                yield entries
                if entries[-1].index >= last:
                    return
