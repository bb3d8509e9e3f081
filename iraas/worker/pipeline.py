"""A classifier process's work: intake, classification and output side by side.

The main thread decodes and infers. One thread receives ahead of it and one stores behind it, so
that the core never waits for a queue or a store; a third keeps the leases alive. A stage of its
own for decoding would gain nothing: it competes with inference for the same core.
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
from iraas.worker.leases import LeaseKeeper
from iraas.worker.prefetch import Hand
from iraas.worker.receiver import MessageReceiver, Task, WorkerLimits

log = logging.getLogger(__name__)
MAX_PAUSE_S = 30.0
OUTPUT_BATCH = 10
JOIN_S = 5.0


class Pipeline:
    """Classifies what the request queue holds until it is told to stop.

    Args:
        backend: The deployment.
        classifier: The model, in memory.
        worker_id: Who signs the outcomes.
        limits: How much to take on.
        tell: Called with a beat after each receive and each batch of outcomes, from any thread.
        clock: Gives seconds since the epoch.
        fault: The tests' seam.
    """

    def __init__(
        self,
        backend: Backend,
        classifier: Classifier,
        worker_id: str,
        *,
        limits: WorkerLimits,
        tell: Callable[[Heartbeat], None],
        clock: Callable[[], float] = time.time,
        fault: FaultHook = no_fault,
    ) -> None:
        self._backend = backend
        self._classifier = classifier
        self._worker_id = worker_id
        self._clock = clock
        self._fault = fault
        self._tell = tell
        self._limits = limits
        self._stop = threading.Event()
        self._ready: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._late: list[Task] = []
        self._concluded: list[CompletedRequest] = []
        self._finished: queue.SimpleQueue[CompletedRequest | None] = queue.SimpleQueue()
        self._hand = Hand(limits.hold, limits.hold_bytes)
        self._beat = Heartbeat(classifier.model_id)
        self._beat_lock = threading.Lock()

    def stop(self) -> None:
        """Take no more; finish what is being classified and release the rest.

        A receive that waits cannot be called back. What it brings after the stop is classified all
        the same: to release it would cost the request one of its receives, and the next worker
        would try it alone, as if it had ended a process.

        May be called from a signal handler: it takes no lock.
        """
        self._stop.set()
        self._ready.put(None)

    def run(self) -> None:
        """Work until `stop`. Blocks; call it once, from the main thread."""
        with LeaseKeeper(self._backend.requests, self._limits.lease_s) as leases:
            self._leases = leases
            intake = MessageReceiver(
                self._backend,
                self._limits,
                self._hand,
                leases,
                ready=self._admit,
                finished=self._finished.put,
                conclude=self._failure,
                idle=self._told_idle,
            )
            receiving = threading.Thread(
                target=intake.run, args=(self._stop,), name="intake", daemon=True
            )
            storing = threading.Thread(target=self._store_all, name="output", daemon=True)
            receiving.start()
            storing.start()
            self._update(draining=False)
            while tasks := self._next_tasks():
                self._classify(tasks)
                self._hand_over()
            self._leave(receiving, storing)

    def _admit(self, task: Task) -> None:
        """Take a task from the intake's thread."""
        if self._stop.is_set():
            self._late.append(task)
        else:
            self._ready.put(task)

    def _next_tasks(self) -> list[Task]:
        """Wait for work and take what is there, up to the model's batch; empty to stop."""
        first = self._ready.get()
        tasks = [] if first is None else [first]
        while tasks and len(tasks) < self._classifier.batch_size:
            try:
                more = self._ready.get_nowait()
            except queue.Empty:
                break
            if more is not None:
                tasks.append(more)
        return [] if self._stop.is_set() else tasks

    def _classify(self, tasks: Sequence[Task]) -> None:
        """Classify together; each task took the time since the result before its own."""
        for task in tasks:
            self._fault("decode", task.request.name)
        began = time.monotonic()
        results = self._classifier.classify([task.image for task in tasks])
        for task, result in zip(tasks, results, strict=True):
            now = time.monotonic()
            self._conclude(task, result, now - began)
            began = now

    def _conclude(self, task: Task, result: Prediction | ImageError, took_s: float) -> None:
        prediction, reason = (None, str(result)) if isinstance(result, ImageError) else (result, "")
        outcome = self._outcome(task.request, task.attempts, prediction, reason)
        dead_letter = reason if isinstance(result, DecoderCrashError) else ""
        self._concluded.append(
            CompletedRequest(task.request, outcome, task.receipt, dead_letter, took_s)
        )

    def _hand_over(self, *, at_once: bool = False) -> None:
        """Give what is concluded to the output thread: a few together while there is more to do.

        Storing a few together costs hardly more than storing one; nobody waits longer for it than
        it takes to classify those few.
        """
        if at_once or self._ready.empty() or len(self._concluded) >= self._limits.store:
            for one in self._concluded:
                self._finished.put(one)
            self._concluded.clear()

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
        """The output thread: store what is finished, in the batches that come about by waiting."""
        finisher = OutcomeWriter(self._backend, self._fault)
        while (first := self._finished.get()) is not None:
            batch = [first]
            while len(batch) < OUTPUT_BATCH and not self._finished.empty():
                more = self._finished.get()
                if more is None:
                    self._finished.put(None)
                    break
                batch.append(more)
            self._store(finisher, batch)

    def _store(self, finisher: OutcomeWriter, batch: Sequence[CompletedRequest]) -> None:
        receipts = [one.receipt for one in batch]
        outcomes: list[Outcome] = []
        pause_s = 0.5
        while not outcomes:
            try:
                outcomes = finisher.finish(batch)
            except BackendError as exc:
                log.warning("could not store outcomes: %s; again in %.1f s", exc, pause_s)
                if self._stop.wait(pause_s):
                    return  # still under lease: leaving releases them
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
        self._leases.let_go(receipts)
        self._hand.put_down(receipts)
        self._update(
            done=len(outcomes), failed=sum(outcome.status == "failed" for outcome in outcomes)
        )

    def _told_idle(self, empty_polls: int) -> None:
        self._update(empty_polls=empty_polls)

    def _update(
        self,
        *,
        done: int = 0,
        failed: int = 0,
        empty_polls: int | None = None,
        draining: bool | None = None,
    ) -> None:
        with self._beat_lock:
            beat = self._beat
            self._beat = replace(
                beat,
                done=beat.done + done,
                failed=beat.failed + failed,
                empty_polls=beat.empty_polls if empty_polls is None else empty_polls,
                draining=beat.draining if draining is None else draining,
                held=tuple(self._leases.held()),
            )
            self._tell(self._beat)

    def _leave(self, receiving: threading.Thread, storing: threading.Thread) -> None:
        self._hand.close()
        self._hand_over(at_once=True)
        self._update(draining=True)
        receiving.join(min(self._limits.wait_s + 1, JOIN_S))
        for task in list(self._late):
            self._classify([task])
        self._hand_over(at_once=True)
        self._finished.put(None)
        storing.join(JOIN_S)
        held = self._leases.held()
        if held:
            try:
                self._backend.requests.release(held)
            except BackendError as exc:
                log.warning("could not release %d messages: %s", len(held), exc)
