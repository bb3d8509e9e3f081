"""The parent process of a worker: keeps its classifier processes alive, decides when it stops."""

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
from iraas.core.records import FAILED, STOPPED, WorkerRecord, WorkerState
from iraas.errors import BackendError
from iraas.worker.child_process import ClassifierProcess

log = logging.getLogger(__name__)
MAX_START_FAILURES = 3
MAX_CRASHES_PER_MINUTE = 30
MINUTE_S = 60.0
SIGNALS_TO_LEAVE_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class SupervisorConfig:
    """Timeouts of a supervisor, in seconds unless they say otherwise.

    Attributes:
        idle_timeout_s: Time without work after which the worker stops.
        min_empty_polls: Consecutive empty receives that each process needs before that, a count.
        stall_timeout_s: Time that a process may hold messages without progress.
        shutdown_timeout_s: Time that processes have to exit after SIGTERM.
        heartbeat_interval_s: Shortest time between two of the worker's records; half of it once the
            worker has finished all its messages, so that a finished job shows up soon.
        max_lifetime_s: Age at which the worker stops although there is work.
    """

    idle_timeout_s: float = 10.0
    min_empty_polls: int = 3
    stall_timeout_s: float = 60.0
    shutdown_timeout_s: float = 10.0
    heartbeat_interval_s: float = 1.0
    max_lifetime_s: float = float("inf")


class Supervisor:
    """Runs a worker until it stops. Main thread only, since it handles signals.

    Args:
        backend: The deployment, for the worker's record, the queue's depth and releases.
        worker_id: The worker's id.
        processes: The number of classifier processes.
        manual: Whether a person started this worker, and not the fleet.
        start: Starts a classifier process.
        config: Timeouts.
        interrupted: Returns why the machine is about to be reclaimed, or an empty text.
        clock: Returns seconds since the epoch.
        now: Returns monotonic seconds.
    """

    def __init__(
        self,
        backend: Backend,
        worker_id: str,
        *,
        processes: int,
        manual: bool = False,
        start: Callable[[], ClassifierProcess],
        config: SupervisorConfig,
        interrupted: Callable[[], str] = str,
        clock: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._worker_id = worker_id
        self._process_count = processes
        self._manual = manual
        self._start = start
        self._config = config
        self._interrupted = interrupted
        self._clock = clock
        self._now = now
        self._processes: list[ClassifierProcess] = []
        self._selector = selectors.DefaultSelector()
        self._signal_count = 0
        self._started_at = clock()
        self._began = self._last_active = self._depth_polled_at = now()
        self._last_record: tuple[float, int] = (now() - config.heartbeat_interval_s, 0)
        self._done_by_exited = self._failed_by_exited = 0
        self._start_failures = 0
        self._crashes: deque[float] = deque(maxlen=MAX_CRASHES_PER_MINUTE)
        self._error = ""
        self._model = ""

    def run(self) -> WorkerRecord:
        """Run until the queue is empty, a signal arrives or the worker cannot work. Call it once.

        The first SIGTERM or SIGINT drains, the second one kills the processes.

        Returns:
            The last record, with the reason for the stop.
        """
        with self._handling_signals():
            try:
                reason = self._supervise()
                # At once: messages that arrive after the last poll are for other workers.
                for process in self._processes:
                    process.drain()
                self._record("draining", reason, 0.0)
                self._await_exits()
            finally:
                for process in self._processes:
                    process.kill()
                    process.reap()
        return self._record(FAILED if self._error else STOPPED, reason, 0.0)

    def _supervise(self) -> str:
        """Keep the processes running until there is a reason to stop, and return it."""
        self._record("starting", "", 0.0)
        while True:
            while len(self._processes) < self._process_count:
                self._add_process()
            self._wait(0.5)
            reason = self._stop_reason()
            if reason:
                return reason
            self._kill_stalled()
            self._record_if_due()

    def _stop_reason(self) -> str:
        if self._signal_count:
            return "stopped by a signal"
        if self._error:
            return self._error
        if self._now() - self._began > self._config.max_lifetime_s:
            return f"maximum lifetime of {self._config.max_lifetime_s:g} s reached"
        return self._interrupted() or self._idle_reason()

    def _idle_reason(self) -> str:
        now = self._now()
        heartbeats = [process.heartbeat for process in self._processes]
        is_busy = any(
            heartbeat is None or heartbeat.in_flight or heartbeat.empty_polls == 0
            for heartbeat in heartbeats
        )
        # A process that has just exited is missing here: its successor has not polled yet.
        if is_busy or len(heartbeats) < self._process_count:
            self._last_active = now
            return ""
        polled = all(
            heartbeat and heartbeat.empty_polls >= self._config.min_empty_polls
            for heartbeat in heartbeats
        )
        idle_s = now - self._last_active
        if not polled or idle_s < self._config.idle_timeout_s or now - self._depth_polled_at < 1:
            return ""
        self._depth_polled_at = now
        try:
            left = self._backend.requests.depth().total
        except BackendError as exc:
            log.warning("could not read the queue's depth: %s", exc)
            return ""
        return "" if left else f"idle for {idle_s:.0f} s and no image is left"

    def _add_process(self) -> None:
        process = self._start()
        self._processes.append(process)
        self._selector.register(process, selectors.EVENT_READ, process)

    def _wait(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            if isinstance(key.data, ClassifierProcess):
                if not key.data.read_heartbeats():
                    self._handle_exit(key.data)
            else:
                self._signal_count += len(os.read(key.fd, 64))

    def _handle_exit(self, process: ClassifierProcess) -> None:
        """Forget a process that has exited, and release at once the messages that it held."""
        self._selector.unregister(process)
        self._processes.remove(process)
        status = process.reap()
        last = process.heartbeat
        if last is None or last.error:
            self._start_failures += 1
            text = last.error if last else f"a process exited with status {status} while starting"
            if self._start_failures >= MAX_START_FAILURES or (last and last.error):
                self._error = text
            return
        self._start_failures = 0
        self._done_by_exited += last.done
        self._failed_by_exited += last.failed
        if last.draining:
            return
        log.warning("classifier process %d ended with status %d", process.pid, status)
        self._record_crash()
        if last.in_flight:
            try:
                self._backend.requests.release(last.in_flight)
            except BackendError as exc:
                log.warning("could not release %d messages: %s", len(last.in_flight), exc)

    def _record_crash(self) -> None:
        now = self._now()
        self._crashes.append(now)
        if len(self._crashes) == MAX_CRASHES_PER_MINUTE and now - self._crashes[0] < MINUTE_S:
            self._error = f"{MAX_CRASHES_PER_MINUTE} classifier processes crashed within a minute"

    def _kill_stalled(self) -> None:
        for process in self._processes:
            if process.is_stalled(self._config.stall_timeout_s):
                log.warning("classifier process %d makes no progress: killing it", process.pid)
                process.kill()

    def _await_exits(self) -> None:
        deadline = self._now() + self._config.shutdown_timeout_s
        while (
            self._processes
            and self._now() < deadline
            and self._signal_count < SIGNALS_TO_LEAVE_AT_ONCE
        ):
            self._wait(min(0.1, max(0.0, deadline - self._now())))

    def _record_if_due(self) -> None:
        now = self._now()
        at, done_then = self._last_record
        done, _ = self._totals()
        heartbeats = [process.heartbeat for process in self._processes]
        has_caught_up = all(last is not None and not last.in_flight for last in heartbeats)
        due_s = (
            self._config.heartbeat_interval_s / 2
            if has_caught_up
            else self._config.heartbeat_interval_s
        )
        if now - at < due_s:
            return
        heartbeat_due = now - at > max(5.0, self._config.heartbeat_interval_s)
        had_loaded = bool(self._model)
        self._update_model()
        if done != done_then or bool(self._model) != had_loaded or heartbeat_due:
            state: WorkerState = "running" if self._model else "starting"
            self._record(state, "", (done - done_then) / (now - at))

    def _update_model(self) -> None:
        loaded = [process.heartbeat.model for process in self._processes if process.heartbeat]
        self._model = self._model or next(iter(loaded), "")

    def _totals(self) -> tuple[int, int]:
        heartbeats = [process.heartbeat for process in self._processes if process.heartbeat]
        done = self._done_by_exited + sum(heartbeat.done for heartbeat in heartbeats)
        failed = self._failed_by_exited + sum(heartbeat.failed for heartbeat in heartbeats)
        return done, failed

    def _record(self, state: WorkerState, reason: str, images_per_s: float) -> WorkerRecord:
        self._update_model()
        done, failed = self._totals()
        self._last_record = (self._now(), done)
        record = WorkerRecord(
            worker_id=self._worker_id,
            state=state,
            started_at=self._started_at,
            beat_at=self._clock(),
            processes=self._process_count,
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
        numbers = (signal.SIGTERM, signal.SIGINT)
        old_handlers = [signal.signal(number, _ignore) for number in numbers]
        self._selector.register(reading, selectors.EVENT_READ, None)
        try:
            yield
        finally:
            for number, handler in zip(numbers, old_handlers, strict=True):
                signal.signal(number, handler)
            signal.set_wakeup_fd(old_wakeup)
            self._selector.close()
            os.close(reading)
            os.close(writing)


def _ignore(_number: int, _frame: object) -> None:
    """Python writes to the wake-up descriptor only for signals that have a handler."""
