"""The work of a classifier process: receiving, classifying and storing side by side.

The main thread decodes and infers. One thread receives ahead of it and one stores behind it, so
that the core never waits for a queue or a store; a third one extends the leases. A separate stage
for decoding would gain nothing: it competes with inference for the same core.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from iraas.core.fault_injection import FaultHook, no_fault
from iraas.core.messages import Request
from iraas.core.outcomes import Outcome, Prediction
from iraas.core.ports import Backend, Classifier
from iraas.errors import BackendError, DecoderCrashError, ImageError
from iraas.jobs.outcome_writer import CompletedRequest, OutcomeWriter
from iraas.worker.heartbeat import Heartbeat
from iraas.worker.leases import LeaseExtender
from iraas.worker.prefetch import PrefetchWindow
from iraas.worker.receiver import MessageReceiver, Task, WorkerLimits

log = logging.getLogger(__name__)
MAX_PAUSE_S = 30.0
MAX_STORE_BATCH = 10
JOIN_TIMEOUT_S = 5.0


class Pipeline:
    """Classifies the requests of the queue until it is stopped.

    Args:
        backend: The deployment.
        classifier: The loaded model; used by the thread that calls `run` alone.
        worker_id: The worker's id, which goes into the outcomes.
        limits: Batch sizes, prefetch limits and times.
        on_heartbeat: Called after each receive and each batch of outcomes, by any of the threads,
            one call at a time.
        clock: Returns seconds since the epoch.
        fault: Injects faults in tests.
    """

    def __init__(
        self,
        backend: Backend,
        classifier: Classifier,
        worker_id: str,
        *,
        limits: WorkerLimits,
        on_heartbeat: Callable[[Heartbeat], None],
        clock: Callable[[], float] = time.time,
        fault: FaultHook = no_fault,
    ) -> None:
        self._backend = backend
        self._classifier = classifier
        self._worker_id = worker_id
        self._clock = clock
        self._fault = fault
        self._on_heartbeat = on_heartbeat
        self._limits = limits
        self._stop = threading.Event()
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._received_after_stop: list[Task] = []
        self._completed: list[CompletedRequest] = []
        self._to_store: queue.SimpleQueue[CompletedRequest | None] = queue.SimpleQueue()
        self._prefetch = PrefetchWindow(limits.max_prefetch, limits.max_prefetch_bytes)
        self._heartbeat = Heartbeat(classifier.model_id)
        self._heartbeat_lock = threading.Lock()

    def stop(self) -> None:
        """Stop receiving; finish the current classification and release the other messages.

        A waiting receive cannot be cancelled. The messages that it returns after the stop are
        still classified: releasing them would count as a receive, and the next worker would run
        each of them alone, as if it had crashed a process.

        Idempotent. Takes no lock, so a signal handler may call it.
        """
        self._stop.set()
        self._tasks.put(None)

    def run(self) -> None:
        """Process requests until `stop`. Blocks; call it once.

        Raises:
            Exception: The classifier failed, and not merely on an image.
        """
        with LeaseExtender(self._backend.requests, self._limits.lease_s) as leases:
            self._leases = leases
            receiver = MessageReceiver(
                self._backend,
                self._limits,
                self._prefetch,
                leases,
                on_task=self._enqueue,
                on_completed=self._to_store.put,
                make_failure=self._failure,
                on_poll=self._record_poll,
            )
            receiving = threading.Thread(
                target=receiver.run, args=(self._stop,), name="receiver", daemon=True
            )
            storing = threading.Thread(target=self._store_all, name="writer", daemon=True)
            receiving.start()
            storing.start()
            self._update(draining=False)
            while tasks := self._next_tasks():
                self._classify(tasks)
                self._store_completed()
            self._shut_down(receiving, storing)

    def _enqueue(self, task: Task) -> None:
        """Called by the receiving thread."""
        if self._stop.is_set():
            self._received_after_stop.append(task)
        else:
            self._tasks.put(task)

    def _next_tasks(self) -> list[Task]:
        """Block until there are tasks, up to the model's batch size; empty once stopped."""
        first = self._tasks.get()
        tasks = [] if first is None else [first]
        while tasks and len(tasks) < self._classifier.batch_size:
            try:
                more = self._tasks.get_nowait()
            except queue.Empty:
                break
            if more is not None:
                tasks.append(more)
        return [] if self._stop.is_set() else tasks

    def _classify(self, tasks: Sequence[Task]) -> None:
        """Classify tasks together; each is charged the time since the previous result."""
        for task in tasks:
            self._fault("decode", task.request.name)
        began = time.monotonic()
        results = self._classifier.classify([task.image for task in tasks])
        for task, result in zip(tasks, results, strict=True):
            now = time.monotonic()
            self._complete(task, result, now - began)
            began = now

    def _complete(self, task: Task, result: Prediction | ImageError, took_s: float) -> None:
        prediction, reason = (None, str(result)) if isinstance(result, ImageError) else (result, "")
        outcome = self._outcome(task.request, task.attempts, prediction, reason)
        dead_letter = reason if isinstance(result, DecoderCrashError) else ""
        self._completed.append(
            CompletedRequest(task.request, outcome, task.receipt, dead_letter, took_s)
        )

    def _store_completed(self, *, at_once: bool = False) -> None:
        """Pass completed requests to the storing thread, in batches while tasks are waiting.

        Storing a few together costs hardly more than storing one, and delays an outcome only by
        the time that classifying those few takes.
        """
        is_full = len(self._completed) >= self._limits.store_batch_size
        if at_once or is_full or self._tasks.empty():
            for completed in self._completed:
                self._to_store.put(completed)
            self._completed.clear()

    def _failure(self, request: Request, reason: str, attempts: int) -> Outcome:
        return self._outcome(request, attempts, None, reason)

    def _outcome(
        self, request: Request, attempts: int, prediction: Prediction | None, reason: str
    ) -> Outcome:
        return Outcome(
            request_id=request.request_id,
            job_id=request.job_id,
            name=request.name,
            prediction=prediction,
            reason=reason,
            model=self._classifier.model_id,
            worker=self._worker_id,
            attempts=attempts,
            submitted_at=request.submitted_at,
            completed_at=self._clock(),
        )

    def _store_all(self) -> None:
        """The storing thread: store together whatever has been completed meanwhile."""
        writer = OutcomeWriter(self._backend, self._fault)
        while (first := self._to_store.get()) is not None:
            batch = [first]
            while len(batch) < MAX_STORE_BATCH and not self._to_store.empty():
                more = self._to_store.get()
                if more is None:
                    self._to_store.put(None)
                    break
                batch.append(more)
            self._store(writer, batch)

    def _store(self, writer: OutcomeWriter, batch: Sequence[CompletedRequest]) -> None:
        receipts = [completed.receipt for completed in batch]
        outcomes: list[Outcome] = []
        pause_s = 0.5
        while not outcomes:
            try:
                outcomes = writer.finish(batch)
            except BackendError as exc:
                log.warning("could not store outcomes: %s; retrying in %.1f s", exc, pause_s)
                if self._stop.wait(pause_s):
                    return  # still under lease: the shutdown releases them
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
        self._leases.remove(receipts)
        self._prefetch.remove(receipts)
        self._update(
            done=len(outcomes), failed=sum(outcome.status == "failed" for outcome in outcomes)
        )

    def _record_poll(self, empty_polls: int) -> None:
        self._update(empty_polls=empty_polls)

    def _update(
        self,
        *,
        done: int = 0,
        failed: int = 0,
        empty_polls: int | None = None,
        draining: bool | None = None,
    ) -> None:
        with self._heartbeat_lock:
            last = self._heartbeat
            self._heartbeat = replace(
                last,
                done=last.done + done,
                failed=last.failed + failed,
                empty_polls=last.empty_polls if empty_polls is None else empty_polls,
                draining=last.draining if draining is None else draining,
                in_flight=tuple(self._leases.receipts()),
            )
            self._on_heartbeat(self._heartbeat)

    def _shut_down(self, receiving: threading.Thread, storing: threading.Thread) -> None:
        self._prefetch.close()
        self._store_completed(at_once=True)
        self._update(draining=True)
        receiving.join(min(self._limits.wait_s + 1, JOIN_TIMEOUT_S))
        for task in list(self._received_after_stop):
            self._classify([task])
        self._store_completed(at_once=True)
        self._to_store.put(None)
        storing.join(JOIN_TIMEOUT_S)
        receipts = self._leases.receipts()
        if receipts:
            try:
                self._backend.requests.release(receipts)
            except BackendError as exc:
                log.warning("could not release %d messages: %s", len(receipts), exc)
