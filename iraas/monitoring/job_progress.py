"""What is known of one job, for those who look at it: told by replies, made good from the stores.

A view of a job is rebuilt from the stores by whoever looks first, in any process and after any
restart. Outcomes themselves are not kept, save the latest few; only which places have one.
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
COUNTED_AT_ONCE = 1000
MAX_COUNTED = 20_000
SLOW_READ_S = 0.002
READERS = 8

JobState = Literal["open", "working", "done", "cancelled"]
Kind = Literal["all", "ok", "failed", "waiting"]


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job and how far it is.

    Attributes:
        job: The job, with the number of images known by now.
        done: Images that have an outcome.
        failed: Failures among those counted so far.
        is_counted: True if all of them were counted.
    """

    job: Job
    done: int
    failed: int
    is_counted: bool

    @property
    def state(self) -> JobState:
        """``open`` while images may be added; ``cancelled`` until the rest of it is done, too."""
        if self.job.sealed and self.done >= self.job.total:
            return "done"
        if self.job.cancelled:
            return "cancelled"
        return "working" if self.job.sealed else "open"


@dataclass(frozen=True, slots=True)
class JobImage:
    """An image of a job: its place, its name, and its outcome if it has one."""

    index: int
    name: str
    outcome: Outcome | None


class JobProgress:
    """One job as this process knows it. Thread-safe; methods that read the stores block.

    Args:
        backend: The deployment.
        job_id: The job.
        now: Gives monotonic seconds.

    Attributes:
        looking_takes_s: How long the last look into the stores took.
    """

    def __init__(self, backend: Backend, job_id: str, now: Callable[[], float]) -> None:
        self.job_id = job_id
        self.looking_takes_s = 0.0
        self._backend = backend
        self._now = now
        self._job: Job | None = None
        self._known, self._ok, self._failed = IndexSet(), IndexSet(), IndexSet()
        self._refused = RefusalReader(backend)
        self._latest: OrderedDict[int, Outcome] = OrderedDict()
        self._failed_stamps: dict[int, float] = {}
        self._pages: list[tuple[str, int, int]] = []
        self._looked_at = float("-inf")
        self._lock = threading.Lock()
        self._looking = threading.Lock()

    def refresh(self, older_than_s: float = 0.0) -> None:
        """Look into the stores, unless somebody did less than that long ago.

        Raises:
            JobNotFoundError: There is no such job.
            BackendError: A store failed.
        """
        with self._looking:
            began = self._now()
            least_s = max(older_than_s, 20 * self.looking_takes_s) if older_than_s else 0.0
            if began - self._looked_at < least_s:
                return
            self._job = self._read_job()
            self._mark_stored()
            self._count(COUNTED_AT_ONCE)
            self._looked_at = self._now()
            self.looking_takes_s = self._looked_at - began

    def expire(self) -> None:
        """Have the next `refresh` look into the stores, however recent the last look."""
        self._looked_at = float("-inf")

    def note(self, outcome: Outcome) -> None:
        """Take in an outcome that a reply told of. Never blocks on a store."""
        try:
            job_id, index = split_request_id(outcome.request_id)
        except ValueError:
            return
        if job_id == self.job_id:
            with self._lock:
                self._mark(index, outcome)

    def forget(self, indexes: list[int]) -> None:
        """Let outcomes be unknown that were removed, so that their images are tried again."""
        with self._lock:
            for index in indexes:
                self._forget(index)

    def summary(self) -> JobSummary:
        """How far the job is, as far as is known; `refresh` at least once before."""
        assert self._job is not None
        with self._lock:
            counted = len(self._ok) + len(self._failed)
            done = len(self._known)
            return JobSummary(self._job, done, len(self._failed), is_counted=counted == done)

    def news(self, seen: IndexSet, limit: int) -> list[Outcome]:
        """Outcomes whose places are not among those seen, in the order of places."""
        with self._lock:
            wanted = list(islice(self._known.minus(seen), limit))
        return [one for one in self._read(wanted).values() if one is not None]

    def images(self, *, after: int, limit: int, kind: Kind = "all") -> list[JobImage]:
        """Some images of the job, in order: those behind a place, up to a number.

        Raises:
            BackendError: A store failed.
            MessageError: The manifest is mangled.
        """
        if kind in {"ok", "failed"}:
            with self._looking:
                self._count(MAX_COUNTED)
        with self._lock:
            places = self._places(kind, after)
            wanted = list(islice(places, limit))
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
        """One image of the job; None if the job has none there."""
        found = self.images(after=index - 1, limit=1) if index >= 0 else []
        return found[0] if found and found[0].index == index else None

    def _places(self, kind: Kind, after: int) -> Iterator[int]:
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
        for one in self._backend.outputs.list(outcomes_of(self.job_id)):
            index = index_of_outcome(one.key)
            if index is None:
                self._mark_refused(one.key)
                continue
            stored.add(index)
            if index in self._failed:
                stamps[index] = one.modified_at
        for index in self._refused.places():
            stored.add(index)
        with self._lock:
            for index in list(stored.minus(self._known)):
                self._known.add(index)
            for index in list(self._failed.minus(stored)):
                self._forget(index)  # it was removed to be tried again, by whomever
            for index, stamp in stamps.items():
                if self._failed_stamps.get(index) != stamp:
                    self._failed_stamps[index] = stamp
                    self._failed.discard(index)  # it may be another one by now: read it again
                    self._latest.pop(index, None)

    def _mark_refused(self, key: str) -> None:
        """Count the images as failures that were refused together, if that is what a key is of."""
        places = self._refused.learn(key)
        with self._lock:
            for index in places:
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
        """Read some outcomes of which nothing is known but that they are there."""
        with self._lock:
            uncounted = [
                index
                for index in islice(self._known.minus(self._ok), limit + len(self._failed))
                if index not in self._failed
            ]
        self._read(uncounted[:limit])

    def _read(self, indexes: list[int]) -> dict[int, Outcome | None]:
        """Read outcomes, from several threads if the store is far away."""
        with self._lock:
            found = {index: self._latest.get(index) for index in indexes}
        missing = [index for index, outcome in found.items() if outcome is None]
        began = self._now()
        for place, index in enumerate(missing):
            found[index] = self._read_one(index)
            if place == 0 and self._now() - began > SLOW_READ_S and len(missing) > READERS:
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
        """The names of images, from the manifest; which page holds which places is kept."""
        names: dict[int, str] = {}
        if not indexes:
            return names
        first, last = indexes[0], indexes[-1]
        with self._looking:
            for entries in self._pages_between(first, last):
                names |= {one.index: one.name for one in entries if first <= one.index <= last}
        return names

    def _pages_between(self, first: int, last: int) -> Iterator[list[ManifestEntry]]:
        for key, start, end in list(self._pages):
            if start <= last and end > first:
                yield list(decode_page(self._backend.records.get(key)))
        read_up_to = self._pages[-1][0] if self._pages else ""
        if self._pages and self._pages[-1][2] > last:
            return
        for one in self._backend.records.list(manifest_prefix(self.job_id), after=read_up_to):
            entries = list(decode_page(self._backend.records.get(one.key)))
            if entries:
                self._pages.append((one.key, entries[0].index, entries[-1].index + 1))
                yield entries
                if entries[-1].index >= last:
                    return
