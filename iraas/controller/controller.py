"""The controller: observe, decide, act, and write down why.

It holds no state that matters. A restart observes again what the queue, the records and the fleet
say; workers do not notice. Two controllers at once are kept apart by the lease, and where that
fails by the fleet's slots, which can be filled only once.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from iraas.controller.dead_letters import DeadLetterProcessor
from iraas.controller.decision_log import DecisionLog
from iraas.core.autoscaling import Observation, Policy
from iraas.core.backoff import Backoff
from iraas.core.keys import worker_key
from iraas.core.ports import Backend, Instance
from iraas.core.records import FAILED, ScalingDecision, WorkerRecord, decode_worker
from iraas.errors import (
    BackendError,
    ConfigurationError,
    MessageError,
    ObjectNotFoundError,
)
from iraas.monitoring.costs import CostTracker

log = logging.getLogger(__name__)
MAX_BROKEN = 6
LONGEST_PAUSE_S = 60.0
LOST_INSTANCE = "its worker never reported"
SILENT_INSTANCE = "its worker fell silent"


@dataclass(frozen=True, slots=True)
class ControllerConfig:
    """When a controller does what.

    Attributes:
        poll_interval_s: Time between two looks.
        idle_s: How much longer it is while there is nothing to do: looks cost calls. The queue
            alone is looked at each `poll_interval_s`, so that no image waits for that.
        startup_timeout_s: How long an instance may take until its worker reports.
        heartbeat_timeout_s: How long a worker may say nothing.
        cleanup_interval_s: Time between two cleanups: dead letters, unread response queues.
        response_queue_ttl_s: How long a response queue stays that nobody reads.
        note_s: How often the same decision is written down again.
        recount_s: How often it is if only the counts that led to it changed.
    """

    poll_interval_s: float = 0.25
    idle_s: float = 0.0
    startup_timeout_s: float = 60.0
    heartbeat_timeout_s: float = 60.0
    cleanup_interval_s: float = 30.0
    response_queue_ttl_s: float = 86_400.0
    note_s: float = 60.0
    recount_s: float = 1.0


class Controller:
    """Starts just enough workers and removes orphans. Not thread-safe.

    Args:
        backend: The deployment.
        policy: Says how many workers there should be.
        cap: The most workers there may be.
        timing: When to do what.
        clock: Gives seconds since the epoch.

    Attributes:
        configuration_error: A setting that keeps it from launching any worker, while there is none;
            None otherwise.
    """

    configuration_error: ConfigurationError | None = None

    def __init__(
        self,
        backend: Backend,
        policy: Policy,
        *,
        cap: int,
        timing: ControllerConfig | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._backend = backend
        self._policy = policy
        self._cap = min(cap, backend.fleet.capacity)
        self._timing = timing or ControllerConfig()
        self._clock = clock
        self._dead_letters = DeadLetterProcessor(backend, clock)
        self._spend = CostTracker(backend, backend.pricing, clock)
        self._swept_at = 0.0
        self._decisions = DecisionLog(
            backend.records, note_s=self._timing.note_s, recount_s=self._timing.recount_s
        )
        self._known: set[str] = set()
        self._crash_backoff = Backoff(clock, first_s=2.0, longest_s=LONGEST_PAUSE_S)
        self._launch_backoff = Backoff(clock, first_s=2.0, longest_s=LONGEST_PAUSE_S)
        first_s = self._timing.poll_interval_s
        self._poll_backoff = Backoff(time.monotonic, first_s=first_s, longest_s=LONGEST_PAUSE_S)
        self._has_looked = False
        self._others: list[Instance] = []

    def run(self, stop: threading.Event, *, until_idle: bool = False) -> None:
        """Look again and again until told to stop. What fails is asked again, ever more slowly.

        Args:
            stop: Ends it at the next look.
            until_idle: Also ends once no request is left and no worker is there; or once worker
                after worker could not work, for nobody watches a controller that ends by itself.

        Raises:
            ConfigurationError: A setting is wrong, and was from the first look on. Later on that is
                written into the last decision, and tried again.
        """
        try:
            while not stop.is_set():
                decision = self._try_tick()
                if until_idle and decision is not None and self._should_exit(decision):
                    return
                self._rest(stop, decision)
        finally:
            self._backend.lease.release()

    def tick(self) -> ScalingDecision | None:
        """Observe, decide and act once; None when another controller acts.

        Raises:
            BackendError: Something failed; the next tick observes afresh.
            ConfigurationError: A setting is wrong, a permission missing.
        """
        if not self._backend.lease.hold():
            return None
        instances = self._backend.fleet.instances()
        self._spend.observe(instances)
        records = {one.instance_id: self._record_of(one.instance_id) for one in instances}
        self._track_exited({one.instance_id for one in instances})
        removed = self._remove_orphans(instances, records)
        observation = self._observe(instances, records, removed)
        decision = self._policy.decide(observation)
        launched, hindrance = self._launch(decision.wanted, observation.workers, instances)
        record = ScalingDecision(
            at=observation.at,
            **asdict(observation.queue),
            booting=observation.booting,
            running=observation.running,
            wanted=decision.wanted,
            launched=launched,
            removed=removed,
            broken_in_a_row=self._crash_backoff.consecutive_failures,
            reason=f"{decision.reason}; {hindrance}" if hindrance else decision.reason,
        )
        self._decisions.note(record)
        self._sweep()
        return record

    def _try_tick(self) -> ScalingDecision | None:
        try:
            decision = self.tick()
        except (BackendError, ConfigurationError) as exc:
            if isinstance(exc, ConfigurationError):
                if not self._has_looked:
                    raise
                reason = f"the deployment cannot be looked after: {exc}"
                self._decisions.note_trouble(reason, self._clock())
            log.warning("could not look after the workers: %s", exc)
            self._poll_backoff.record_failure(str(exc))
            return None
        self._has_looked = True
        self._poll_backoff.reset()
        return decision

    def _rest(self, stop: threading.Event, decision: ScalingDecision | None) -> None:
        """Wait for the next look; if there is nothing to do, until there may be."""
        stop.wait(max(self._timing.poll_interval_s, self._poll_backoff.remaining_s))
        if decision is None or not self._is_idle(decision):
            return
        until = time.monotonic() + self._timing.idle_s
        while time.monotonic() < until and not self._something_waits():
            if stop.wait(self._timing.poll_interval_s):
                return

    def _something_waits(self) -> bool:
        try:
            return self._backend.requests.depth().total > 0
        except (BackendError, ConfigurationError):
            return True  # the next look tells what is wrong

    def _record_of(self, instance_id: str) -> WorkerRecord | None:
        try:
            return decode_worker(self._backend.records.get(worker_key(instance_id)))
        except ObjectNotFoundError:
            return None
        except MessageError as exc:
            log.warning("%s", exc)
            return None

    def _observe(
        self,
        instances: list[Instance],
        records: dict[str, WorkerRecord | None],
        removed: dict[str, str],
    ) -> Observation:
        states = [
            record.state if (record := records[one.instance_id]) else "starting"
            for one in instances
            if one.instance_id not in removed
        ]
        working = [one for one in records.values() if one and one.state == "running"]
        return Observation(
            at=self._clock(),
            queue=self._backend.requests.depth(),
            booting=states.count("starting"),
            running=states.count("running"),
            cap=self._cap,
            images_per_s=sum(one.images_per_s for one in working),
        )

    def _remove_orphans(
        self, instances: list[Instance], records: dict[str, WorkerRecord | None]
    ) -> dict[str, str]:
        now = self._clock()
        removed = {}
        for one in instances:
            record = records[one.instance_id]
            if record is None:
                if now - one.launched_at > self._timing.startup_timeout_s:
                    removed[one.instance_id] = LOST_INSTANCE
            elif now - max(record.beat_at, one.launched_at) > self._timing.heartbeat_timeout_s:
                removed[one.instance_id] = SILENT_INSTANCE
        if removed:
            self._backend.fleet.terminate(list(removed))
        return removed

    def _track_exited(self, present: set[str]) -> None:
        """After workers that could not work, launch ever more slowly."""
        for instance_id in self._known - present:
            record = self._record_of(instance_id)
            if record and record.state == FAILED and not record.done:
                self._crash_backoff.record_failure(record.reason)
            elif record and record.done:
                self._crash_backoff.reset()
        self._known = present

    def _launch(self, wanted: int, workers: int, present: list[Instance]) -> tuple[int, str]:
        """Launch what is missing: how many are on their way, and what stood in the way."""
        count = max(0, wanted - workers)
        if workers or not count:
            self.configuration_error = None
        hindrance = self._launch_blocker(present) if count else ""
        try:
            launch = self._backend.fleet.launch(0 if hindrance else count)
        except ConfigurationError as exc:
            self._launch_backoff.record_failure(str(exc))
            self.configuration_error = None if workers else exc
            log.warning("could not launch: %s", exc)
            return 0, str(exc)
        if launch.launched:
            self.configuration_error = None
            self._launch_backoff.reset()
        self._known.update(launch.launched)
        return len(launch.launched), hindrance or launch.shortfall

    def _launch_blocker(self, present: list[Instance]) -> str:
        if self._launch_backoff.remaining_s:
            return f"waiting before the next launch: {self._launch_backoff.reason}"
        if self._crash_backoff.remaining_s:
            return (
                f"waiting before the next launch, for a worker broke: {self._crash_backoff.reason}"
            )
        return self._spend.is_exhausted([*present, *self._others])

    def _should_exit(self, decision: ScalingDecision) -> bool:
        is_in_vain = self._crash_backoff.consecutive_failures >= MAX_BROKEN and not self._known
        if is_in_vain:
            log.warning(
                "%d workers in a row could not work: giving up",
                self._crash_backoff.consecutive_failures,
            )
        return is_in_vain or self._is_idle(decision)

    def _is_idle(self, decision: ScalingDecision) -> bool:
        """Whether no request is left, and no instance either, whatever its worker is doing."""
        return not (decision.visible or decision.in_flight or decision.delayed or self._known)

    def _sweep(self) -> None:
        now = self._clock()
        if now - self._swept_at < self._timing.cleanup_interval_s:
            return
        self._swept_at = now
        self._others = self._backend.fleet.others()
        self._spend.observe(self._others, of_fleet=False)
        self._dead_letters.run()
        self._backend.responses.sweep(self._timing.response_queue_ttl_s)
