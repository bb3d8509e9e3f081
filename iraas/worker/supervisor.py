"""A worker's parent process: keeps its classifier processes alive, and knows when to leave."""

import logging
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from iraas.core.keys import worker_key
from iraas.core.ports import Backend
from iraas.core.records import WorkerRecord, WorkerState
from iraas.errors import BackendError
from iraas.worker.child_process import ClassifierProcess

log = logging.getLogger(__name__)
MAX_START_FAILURES = 3
MAX_DEATHS_PER_MINUTE = 30
MINUTE_S = 60.0
SIGNALS_TO_LEAVE_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class SupervisorConfig:
    """When a supervisor does what.

    Attributes:
        idle_timeout_s: How long the worker stays idle before it leaves.
        empty_polls: Empty receives of each process before it leaves.
        stall_timeout_s: How long a process may show no progress with messages in hand.
        shutdown_timeout_s: How long processes have to leave in order.
        heartbeat_interval_s: Shortest time between two of the worker's records; half of it once all
            that it had is done, for that is when people look.
        max_lifetime_s: When the worker leaves whatever there is to do.
    """

    idle_timeout_s: float = 10.0
    empty_polls: int = 3
    stall_timeout_s: float = 60.0
    shutdown_timeout_s: float = 10.0
    heartbeat_interval_s: float = 1.0
    max_lifetime_s: float = float("inf")


class Supervisor:
    """Runs a worker until it leaves. One thread; the main thread, for it handles signals.

    Args:
        backend: The deployment: for the worker's record, the queue's depth and releases.
        worker_id: The worker's id.
        processes: How many classifier processes to run.
        manual: Whether a person started this worker, and not the fleet.
        start: Starts a classifier process.
        rules: When to do what.
        interrupted: Tells why the machine will be taken away soon, or an empty text.
        clock: Gives seconds since the epoch.
        now: Gives monotonic seconds.
    """

    def __init__(
        self,
        backend: Backend,
        worker_id: str,
        *,
        processes: int,
        manual: bool = False,
        start: Callable[[], ClassifierProcess],
        rules: SupervisorConfig,
        interrupted: Callable[[], str] = str,
        clock: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._worker_id = worker_id
        self._wanted = processes
        self._manual = manual
        self._start = start
        self._rules = rules
        self._interrupted = interrupted
        self._clock = clock
        self._now = now
        self._processes: list[ClassifierProcess] = []
        self._selector = selectors.DefaultSelector()
        self._signals = 0
        self._started_at = clock()
        self._born = self._active = self._asked_depth = now()
        self._recorded: tuple[float, int] = (now() - rules.heartbeat_interval_s, 0)
        self._done_by_gone = self._failed_by_gone = 0
        self._start_failures = 0
        self._deaths: deque[float] = deque(maxlen=MAX_DEATHS_PER_MINUTE)
        self._error = ""
        self._model = ""

    def run(self) -> WorkerRecord:
        """Work until there is nothing left, a signal says so, or nothing works; say which.

        The first SIGTERM or SIGINT drains, the second ends the processes at once.
        """
        with self._handling_signals():
            try:
                reason = self._supervise()
                # At once: what comes after the look at the queue is another worker's.
                for process in self._processes:
                    process.drain()
                self._record("draining", reason, 0.0)
                self._wait_for_the_end()
            finally:
                for process in self._processes:
                    process.kill()
                    process.reap()
        return self._record("broken" if self._error else "gone", reason, 0.0)

    def _supervise(self) -> str:
        """Keep the processes going until there is a reason to leave; give it back."""
        self._record("starting", "", 0.0)
        while True:
            while len(self._processes) < self._wanted:
                self._add()
            self._wait(0.5)
            reason = self._reason_to_leave()
            if reason:
                return reason
            self._end_stalled()
            self._record_if_due()

    def _reason_to_leave(self) -> str:
        if self._signals:
            return "told to leave"
        if self._error:
            return self._error
        if self._now() - self._born > self._rules.max_lifetime_s:
            return f"its life of {self._rules.max_lifetime_s:g} s is over"
        return self._interrupted() or self._idle_reason()

    def _idle_reason(self) -> str:
        now = self._now()
        beats = [process.beat for process in self._processes]
        # A process that has just ended is missing here: its successor has not looked yet.
        is_busy = any(one is None or one.held or one.empty_polls == 0 for one in beats)
        if is_busy or len(beats) < self._wanted:
            self._active = now
            return ""
        polled = all(one and one.empty_polls >= self._rules.empty_polls for one in beats)
        idle_s = now - self._active
        if not polled or idle_s < self._rules.idle_timeout_s or now - self._asked_depth < 1:
            return ""
        self._asked_depth = now
        try:
            left = self._backend.requests.depth().total
        except BackendError as exc:
            log.warning("could not ask for the queue's depth: %s", exc)
            return ""
        return "" if left else f"idle for {idle_s:.0f} s and no image is left"

    def _add(self) -> None:
        process = self._start()
        self._processes.append(process)
        self._selector.register(process, selectors.EVENT_READ, process)

    def _wait(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            if isinstance(key.data, ClassifierProcess):
                if not key.data.read_beats():
                    self._send_to_dead_letters(key.data)
            else:
                self._signals += len(os.read(key.fd, 64))

    def _send_to_dead_letters(self, process: ClassifierProcess) -> None:
        """Take note of a process's end, and let others have at once what it held."""
        self._selector.unregister(process)
        self._processes.remove(process)
        status = process.reap()
        beat = process.beat
        if beat is None or beat.error:
            self._start_failures += 1
            text = beat.error if beat else f"a process ended with status {status} at its start"
            if self._start_failures >= MAX_START_FAILURES or (beat and beat.error):
                self._error = text
            return
        self._start_failures = 0
        self._done_by_gone += beat.done
        self._failed_by_gone += beat.failed
        if beat.draining:
            return
        log.warning("classifier process %d ended with status %d", process.pid, status)
        self._count_death()
        if beat.held:
            try:
                self._backend.requests.release(beat.held)
            except BackendError as exc:
                log.warning("could not release %d messages: %s", len(beat.held), exc)

    def _count_death(self) -> None:
        now = self._now()
        self._deaths.append(now)
        if len(self._deaths) == MAX_DEATHS_PER_MINUTE and now - self._deaths[0] < MINUTE_S:
            self._error = f"{MAX_DEATHS_PER_MINUTE} classifier processes died within a minute"

    def _end_stalled(self) -> None:
        for process in self._processes:
            if process.is_stalled(self._rules.stall_timeout_s):
                log.warning("classifier process %d shows no progress: ending it", process.pid)
                process.kill()

    def _wait_for_the_end(self) -> None:
        deadline = self._now() + self._rules.shutdown_timeout_s
        while (
            self._processes and self._now() < deadline and self._signals < SIGNALS_TO_LEAVE_AT_ONCE
        ):
            self._wait(min(0.1, max(0.0, deadline - self._now())))

    def _record_if_due(self) -> None:
        now = self._now()
        at, done_then = self._recorded
        done, _ = self._totals()
        has_caught_up = not any(one.beat is None or one.beat.held for one in self._processes)
        due_s = (
            self._rules.heartbeat_interval_s / 2
            if has_caught_up
            else self._rules.heartbeat_interval_s
        )
        if now - at < due_s:
            return
        heartbeat_due = now - at > max(5.0, self._rules.heartbeat_interval_s)
        had_loaded = bool(self._model)
        self._note_model()
        if done != done_then or bool(self._model) != had_loaded or heartbeat_due:
            state: WorkerState = "running" if self._model else "starting"
            self._record(state, "", (done - done_then) / (now - at))

    def _note_model(self) -> None:
        loaded = [one.beat.model for one in self._processes if one.beat]
        self._model = self._model or next(iter(loaded), "")

    def _totals(self) -> tuple[int, int]:
        beats = [one.beat for one in self._processes if one.beat]
        done = self._done_by_gone + sum(beat.done for beat in beats)
        failed = self._failed_by_gone + sum(beat.failed for beat in beats)
        return done, failed

    def _record(self, state: WorkerState, reason: str, images_per_s: float) -> WorkerRecord:
        self._note_model()
        done, failed = self._totals()
        self._recorded = (self._now(), done)
        record = WorkerRecord(
            worker_id=self._worker_id,
            state=state,
            started_at=self._started_at,
            beat_at=self._clock(),
            processes=self._wanted,
            done=done,
            failed=failed,
            images_per_s=round(images_per_s, 2),
            model=self._model,
            reason=reason,
            manual=self._manual,
        )
        try:
            self._backend.records.put(worker_key(self._worker_id), record.encode())
        except BackendError as exc:
            log.warning("could not store the worker's record: %s", exc)
        return record

    @contextmanager
    def _handling_signals(self) -> Iterator[None]:
        """Turn signals into bytes on a pipe that the selector waits on."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        old_wakeup = signal.set_wakeup_fd(writing)
        old = [signal.signal(one, _note) for one in (signal.SIGTERM, signal.SIGINT)]
        self._selector.register(reading, selectors.EVENT_READ, None)
        try:
            yield
        finally:
            for number, handler in zip((signal.SIGTERM, signal.SIGINT), old, strict=True):
                signal.signal(number, handler)
            signal.set_wakeup_fd(old_wakeup)
            self._selector.close()
            os.close(reading)
            os.close(writing)


def _note(_number: int, _frame: object) -> None:
    """A handler must exist for the wake-up descriptor to be written to."""
